/* SPDX-License-Identifier: MIT */
/* Any bytes as an image file. The checksum of the superblock would stop nearly every mutation, so
 * each input is tried once more with the feature that brings the checksum switched off. */
#include <ext2fs/ext2_fs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ext4/info.h"

#define FEATURE_BYTE (1024 + offsetof(struct ext2_super_block, s_feature_ro_compat) + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_info(int fd) {
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    DinvExt4ImageInfo info = {0};
    g_autoptr(GError) error = NULL;
    if (!dinv_ext4_image_read_info(path, &info, &error)) {
        if (error == NULL) {
            abort();
        }
        return;
    }
    if (strlen(info.label) > 16 || strlen(info.uuid) != 36 || info.filesystem_bytes == 0 ||
        info.truncated != (info.file_bytes < info.filesystem_bytes)) {
        abort();
    }
    for (const char *letter = info.label; *letter != '\0'; letter++) {
        if (!g_ascii_isprint(*letter)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    read_info(fd);
    if (size > FEATURE_BYTE) {
        uint8_t byte = (uint8_t)(data[FEATURE_BYTE] & ~(EXT4_FEATURE_RO_COMPAT_METADATA_CSUM >> 8));
        if (pwrite(fd, &byte, 1, FEATURE_BYTE) != 1) {
            abort();
        }
        read_info(fd);
    }
    close(fd);
    return 0;
}

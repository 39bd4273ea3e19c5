/* SPDX-License-Identifier: MIT */
/* A tar archive into a tree, and small trees on into an image, which must then be readable. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ext4/info.h"
#include "ext4/populate-tar.h"
#include "ext4/write-tree.h"

#define CONTENT_LIMIT ((guint64)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_tree(const DinvExt4Tree *tree) {
    const DinvExt4Options options = {.label = "dinv-root-1", .read_only = TRUE};
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0) {
        abort();
    }
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    DinvExt4ImageInfo info;
    if (dinv_ext4_write_tree(fd, &options, tree, NULL) &&
        (!dinv_ext4_image_read_info(path, &info, NULL) || info.truncated || !info.clean)) {
        abort();
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int fd = memfd_create("tar", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0) {
        abort();
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvExt4Tree) tree = dinv_ext4_tree_new("/dev/shm", CONTENT_LIMIT, &error);
    if (tree == NULL) {
        tree = dinv_ext4_tree_new(NULL, CONTENT_LIMIT, NULL);
    }
    if (tree == NULL) {
        abort();
    }
    g_clear_error(&error);
    /* Also what a bad archive left in the tree must be sound. */
    if (dinv_ext4_populate_tar(tree, fd, "fuzz", NULL, &error) != (error == NULL)) {
        abort();
    }
    write_tree(tree);
    close(fd);
    return 0;
}

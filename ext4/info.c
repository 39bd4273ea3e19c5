/* SPDX-License-Identifier: MIT */
/*
 * info: reads an untrusted superblock without libext2fs. The layout is that of the kernel's
 * Documentation/filesystems/ext4/super.rst; little-endian.
 */
#include "ext4/info.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/disks.h"

#define READ_BYTES       2048u
#define MAGIC            0xEF53u
#define BLOCK_LOG_MAX    6u /* 64 KiB */
#define STATE_CLEAN      0x0001u
#define STATE_ERRORS     0x0002u
#define REVISION_DYNAMIC 1u
#define BUILD_AGAIN      "build it again with \"dinv image build\""

static guint16 get_u16(const guint8 *super, gsize offset) {
    guint16 value = 0;
    memcpy(&value, super + offset, sizeof value);
    return GUINT16_FROM_LE(value);
}

static guint32 get_u32(const guint8 *super, gsize offset) {
    guint32 value = 0;
    memcpy(&value, super + offset, sizeof value);
    return GUINT32_FROM_LE(value);
}

#define FIELD(name) offsetof(struct ext2_super_block, name)

/* As printable text: it goes to terminals. */
static void copy_label(const guint8 *super, char label[static 17]) {
    memset(label, 0, 17);
    for (gsize i = 0; i < 16 && super[FIELD(s_volume_name) + i] != 0; i++) {
        guint8 byte = super[FIELD(s_volume_name) + i];
        label[i] = (char)(byte >= 0x20 && byte < 0x7f ? byte : '?');
    }
}

static void copy_uuid(const guint8 *super, char uuid[static 37]) {
    const guint8 *u = super + FIELD(s_uuid);
    (void)g_snprintf(uuid, 37,
                     "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
                     u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
                     u[13], u[14], u[15]);
}

static void find_kind(DinvExt4ImageInfo *info) {
    info->kind = DINV_EXT4_IMAGE_OTHER;
    guint64 version = 0;
    if (g_str_equal(info->label, DINV_WIRE_DISK_DATA)) {
        info->kind = DINV_EXT4_IMAGE_DATA;
    } else if (g_str_equal(info->label, DINV_WIRE_DISK_VOLUME)) {
        info->kind = DINV_EXT4_IMAGE_VOLUME;
    } else if (g_str_has_prefix(info->label, DINV_EXT4_ROOTFS_LABEL_PREFIX) &&
               g_ascii_string_to_unsigned(info->label + strlen(DINV_EXT4_ROOTFS_LABEL_PREFIX), 10,
                                          0, 999999, &version, NULL)) {
        info->kind = DINV_EXT4_IMAGE_ROOTFS;
        info->rootfs_version = (guint)version;
    }
}

static const char *find_damage(const guint8 *super) {
    if (get_u16(super, FIELD(s_magic)) != MAGIC) {
        return "it has no ext4 superblock";
    }
    if (get_u32(super, FIELD(s_log_block_size)) > BLOCK_LOG_MAX ||
        get_u32(super, FIELD(s_rev_level)) < REVISION_DYNAMIC ||
        get_u32(super, FIELD(s_blocks_per_group)) == 0 ||
        get_u32(super, FIELD(s_inodes_per_group)) == 0) {
        return "its superblock makes no sense";
    }
    guint32 read_only_features = get_u32(super, FIELD(s_feature_ro_compat));
    if ((read_only_features & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) != 0 &&
        ext2fs_crc32c_le(~0U, super, FIELD(s_checksum)) != get_u32(super, FIELD(s_checksum))) {
        return "the checksum of its superblock is wrong";
    }
    return NULL;
}

static gboolean parse_superblock(const guint8 *super, DinvExt4ImageInfo *info) {
    guint32 incompatible = get_u32(super, FIELD(s_feature_incompat));
    gboolean wide = (incompatible & EXT4_FEATURE_INCOMPAT_64BIT) != 0;
    guint64 blocks = get_u32(super, FIELD(s_blocks_count));
    guint64 free_blocks = get_u32(super, FIELD(s_free_blocks_count));
    if (wide) {
        blocks |= (guint64)get_u32(super, FIELD(s_blocks_count_hi)) << 32;
        free_blocks |= (guint64)get_u32(super, FIELD(s_free_blocks_hi)) << 32;
    }
    guint64 block_size = (guint64)1024 << get_u32(super, FIELD(s_log_block_size));
    if (blocks == 0 || blocks > G_MAXINT64 / block_size || free_blocks > blocks) {
        return FALSE;
    }
    info->filesystem_bytes = blocks * block_size;
    info->free_bytes = free_blocks * block_size;
    guint16 state = get_u16(super, FIELD(s_state));
    info->has_errors = (state & STATE_ERRORS) != 0;
    info->needs_recovery = (incompatible & EXT3_FEATURE_INCOMPAT_RECOVER) != 0;
    info->clean = (state & STATE_CLEAN) != 0 && !info->has_errors && !info->needs_recovery;
    info->has_journal =
        (get_u32(super, FIELD(s_feature_compat)) & EXT3_FEATURE_COMPAT_HAS_JOURNAL) != 0;
    info->made = (gint64)get_u32(super, FIELD(s_mkfs_time)) | (gint64)super[FIELD(s_mkfs_time_hi)]
                                                                  << 32;
    copy_label(super, info->label);
    copy_uuid(super, info->uuid);
    find_kind(info);
    return TRUE;
}

static gboolean not_ext4(const char *name, const char *why, GError **error) {
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_NOT_EXT4,
                "\"%s\" is not an ext4 image: %s", name, why);
    return FALSE;
}

static gboolean read_info_fd(int fd, const char *name, DinvExt4ImageInfo *info, GError **error) {
    struct stat status;
    if (fstat(fd, &status) < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", name);
        return FALSE;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        return not_ext4(name, S_ISDIR(status.st_mode) ? "it is a directory" : "it is no file",
                        error);
    }
    guint8 head[READ_BYTES];
    ssize_t got = pread(fd, head, sizeof head, 0);
    if (got < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", name);
        return FALSE;
    }
    if ((gsize)got < sizeof head) {
        return not_ext4(name, got == 0 ? "it is empty" : "it is too short", error);
    }
    const guint8 *super = head + SUPERBLOCK_OFFSET;
    const char *damage = find_damage(super);
    DinvExt4ImageInfo found = {0};
    if (damage == NULL && !parse_superblock(super, &found)) {
        damage = "its superblock makes no sense";
    }
    if (damage != NULL) {
        return not_ext4(name, damage, error);
    }
    off_t end = S_ISBLK(status.st_mode) ? lseek(fd, 0, SEEK_END) : status.st_size;
    found.file_bytes = end > 0 ? (guint64)end : 0;
    found.allocated_bytes = (guint64)status.st_blocks * 512;
    found.truncated = found.file_bytes < found.filesystem_bytes;
    *info = found;
    return TRUE;
}

gboolean dinv_ext4_image_read_info(const char *path, DinvExt4ImageInfo *info, GError **error) {
    /* O_NONBLOCK: a fifo must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", path);
        return FALSE;
    }
    gboolean result = read_info_fd(fd, path, info, error);
    close(fd);
    return result;
}

static gboolean check_length(const char *path, const DinvExt4ImageInfo *info, const char *remedy,
                             GError **error) {
    if (!info->truncated) {
        return TRUE;
    }
    g_autofree char *have = dinv_ext4_image_size_text(info->file_bytes);
    g_autofree char *want = dinv_ext4_image_size_text(info->filesystem_bytes);
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_TRUNCATED,
                "\"%s\" is truncated: %s of %s%s%s", path, have, want, remedy != NULL ? "; " : "",
                remedy != NULL ? remedy : "");
    return FALSE;
}

gboolean dinv_ext4_image_check_rootfs(const char *path, DinvExt4ImageInfo *info, GError **error) {
    DinvExt4ImageInfo found;
    if (!dinv_ext4_image_read_info(path, &found, error)) {
        if (error != NULL &&
            g_error_matches(*error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_NOT_EXT4)) {
            g_autofree char *message = g_strdup_printf("%s; " BUILD_AGAIN, (*error)->message);
            g_free((*error)->message);
            (*error)->message = g_steal_pointer(&message);
        }
        return FALSE;
    }
    if (found.kind != DINV_EXT4_IMAGE_ROOTFS) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION,
                    "\"%s\" is not a root image of dinv (%s, label \"%s\"); " BUILD_AGAIN, path,
                    dinv_ext4_image_kind_text(found.kind), found.label);
        return FALSE;
    }
    if (found.rootfs_version != DINV_EXT4_ROOTFS_VERSION) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION,
                    "\"%s\" has image format %u, this dinv needs %u; " BUILD_AGAIN, path,
                    found.rootfs_version, DINV_EXT4_ROOTFS_VERSION);
        return FALSE;
    }
    if (!check_length(path, &found, BUILD_AGAIN, error)) {
        return FALSE;
    }
    if (info != NULL) {
        *info = found;
    }
    return TRUE;
}

gboolean dinv_ext4_image_check_disk(const char *path, DinvExt4ImageKind kind,
                                    DinvExt4ImageInfo *info, GError **error) {
    DinvExt4ImageInfo found;
    if (!dinv_ext4_image_read_info(path, &found, error)) {
        return FALSE;
    }
    if (found.kind != kind) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION,
                    "\"%s\" is not a %s of dinv (%s, label \"%s\")", path,
                    dinv_ext4_image_kind_text(kind), dinv_ext4_image_kind_text(found.kind),
                    found.label);
        return FALSE;
    }
    if (!check_length(path, &found, NULL, error)) {
        return FALSE;
    }
    if (info != NULL) {
        *info = found;
    }
    return TRUE;
}

const char *dinv_ext4_image_kind_text(DinvExt4ImageKind kind) {
    switch (kind) {
    case DINV_EXT4_IMAGE_ROOTFS:
        return "root image";
    case DINV_EXT4_IMAGE_DATA:
        return "data disk";
    case DINV_EXT4_IMAGE_VOLUME:
        return "private volume";
    case DINV_EXT4_IMAGE_OTHER:
        break;
    }
    return "other ext4";
}

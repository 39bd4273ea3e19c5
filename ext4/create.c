/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. libext2fs works on an open descriptor (its "unixfd" manager), so that the
 * file may have no name until it is complete. dinv_ext4_begin() lays the file system out in memory:
 * the superblock, the group descriptors and two bitmaps; that is all of what is proportional to the
 * size, and it is kept as ranges. Then inodes and directories are written, a journal inode is added
 * whose blocks are only marked as taken, and dinv_ext4_end() writes superblocks, descriptors and
 * the bitmaps of the groups that are in use. Groups that are not say so by BLOCK_UNINIT and
 * INODE_UNINIT; every group says INODE_ZEROED, which is true in a file of zeros and keeps the
 * kernel's background thread from writing gigabytes of zeros after the first mount.
 */
#include "ext4/format.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext4/info.h"
#include "ext4/output.h"
#include "wire/disks.h"

#define BLOCK_SIZE_LOG        2u /* 1024 << 2 = 4096 */
#define FLEX_GROUPS_LOG       4u
#define BYTES_PER_INODE       16384u
#define DESCRIPTORS_PER_BLOCK 64u
#define BLOCKS_PER_GROUP      32768u
#define RESERVED_PERCENT      1u
#define LOST_AND_FOUND_BLOCKS 4u /* room that e2fsck can use without allocating */
#define JOURNAL_BLOCKS_MAX    32768u
#define CHECKSUM_CRC32C       1u
#define BYTES_MIN             ((guint64)1 << 20)

void dinv_ext4_set_error(GError **error, errcode_t code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    initialize_ext2_error_table();
    gboolean full = code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL;
    g_set_error(error, DINV_EXT4_IMAGE_ERROR,
                full ? DINV_EXT4_IMAGE_ERROR_FULL : DINV_EXT4_IMAGE_ERROR_IO, "%s: %s", what,
                error_message(code));
}

guint64 dinv_ext4_journal_blocks(const DinvExt4Options *options) {
    if (options->read_only) {
        return 0;
    }
    if (options->journal_bytes != 0) {
        return options->journal_bytes / DINV_EXT4_BLOCK;
    }
    int blocks = ext2fs_default_journal_size(options->size_bytes / DINV_EXT4_BLOCK);
    return blocks < 0 ? 0 : MIN((guint64)blocks, JOURNAL_BLOCKS_MAX);
}

/* Descriptor blocks kept free behind those in use, so that the file system can grow while mounted:
 * to 32 times its size or 2 TiB, and never more than 1024 times. (Beyond that the kernel goes on
 * with meta_bg.) Each costs a block on the disk; mkfs.ext4's 1024 of them would be most of a new
 * disk. */
static guint32 reserved_descriptor_blocks(guint64 blocks) {
    const guint64 two_tebibytes = ((guint64)2 << 40) / DINV_EXT4_BLOCK;
    guint64 target = MAX(blocks * 32, two_tebibytes);
    target = MIN(target, blocks * 1024);
    target = MIN(target, G_MAXUINT32);
    const guint64 per_block = (guint64)BLOCKS_PER_GROUP * DESCRIPTORS_PER_BLOCK;
    guint64 wanted = (target + per_block - 1) / per_block;
    guint64 used = (blocks + per_block - 1) / per_block;
    guint64 reserved = wanted > used ? wanted - used : 1;
    return (guint32)MIN(reserved, DINV_EXT4_BLOCK / 4);
}

static void fill_parameters(const DinvExt4Options *options, struct ext2_super_block *parameters) {
    guint64 blocks = options->size_bytes / DINV_EXT4_BLOCK;
    memset(parameters, 0, sizeof *parameters);
    parameters->s_rev_level = EXT2_DYNAMIC_REV;
    parameters->s_log_block_size = BLOCK_SIZE_LOG;
    parameters->s_log_cluster_size = BLOCK_SIZE_LOG;
    parameters->s_inode_size = 256;
    parameters->s_log_groups_per_flex = FLEX_GROUPS_LOG;
    parameters->s_checksum_type = CHECKSUM_CRC32C;
    ext2fs_blocks_count_set(parameters, blocks);
    ext2fs_set_feature_filetype(parameters);
    ext2fs_set_feature_extents(parameters);
    ext2fs_set_feature_64bit(parameters);
    ext2fs_set_feature_flex_bg(parameters);
    ext2fs_set_feature_sparse_super(parameters);
    ext2fs_set_feature_large_file(parameters);
    ext2fs_set_feature_huge_file(parameters);
    ext2fs_set_feature_dir_nlink(parameters);
    ext2fs_set_feature_extra_isize(parameters);
    ext2fs_set_feature_metadata_csum(parameters);
    ext2fs_set_feature_dir_index(parameters);
    ext2fs_set_feature_xattr(parameters);
    if (!options->read_only) {
        ext2fs_set_feature_resize_inode(parameters);
        parameters->s_reserved_gdt_blocks = (guint16)reserved_descriptor_blocks(blocks);
        ext2fs_r_blocks_count_set(parameters, blocks * RESERVED_PERCENT / 100);
    }
    guint32 ratio = options->bytes_per_inode != 0 ? options->bytes_per_inode : BYTES_PER_INODE;
    guint64 inodes = options->inodes != 0 ? options->inodes : options->size_bytes / ratio;
    parameters->s_inodes_count = (guint32)CLAMP(inodes, 16, G_MAXUINT32);
}

static void fill_random(guint8 *bytes, gsize length) {
    if (getrandom(bytes, length, 0) != (ssize_t)length) {
        for (gsize i = 0; i < length; i++) { /* identifies, does not protect */
            bytes[i] = (guint8)(g_random_int() & 0xff);
        }
    }
}

static void fill_identity(ext2_filsys fs, const DinvExt4Options *options) {
    struct ext2_super_block *super = fs->super;
    guint8 identity[32];
    fill_random(identity, sizeof identity);
    identity[6] = (identity[6] & 0x0f) | 0x40; /* RFC 9562, version 4 */
    identity[8] = (identity[8] & 0x3f) | 0x80;
    memcpy(super->s_uuid, options->uuid != NULL ? options->uuid : identity, 16);
    memcpy(super->s_hash_seed, options->hash_seed != NULL ? options->hash_seed : identity + 16, 16);
    if (options->label != NULL) {
        memcpy(super->s_volume_name, options->label,
               MIN(strlen(options->label), sizeof super->s_volume_name));
    }
    gint64 now = options->timestamp != 0 ? options->timestamp : g_get_real_time() / G_USEC_PER_SEC;
    fs->now = (time_t)now;
    super->s_mkfs_time = (guint32)((guint64)now & G_MAXUINT32);
    super->s_mkfs_time_hi = (guint8)(((guint64)now >> 32) & 0xff);
    super->s_lastcheck = super->s_mkfs_time;
    super->s_lastcheck_hi = super->s_mkfs_time_hi;
    super->s_checkinterval = 0;
    super->s_max_mnt_count = -1;
    super->s_errors = EXT2_ERRORS_RO;
    super->s_def_hash_version = EXT2_HASH_HALF_MD4;
    super->s_flags |= EXT2_FLAGS_SIGNED_HASH;
    super->s_checksum_type = CHECKSUM_CRC32C;
    super->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    if (!options->read_only) {
        super->s_default_mount_opts |= EXT4_DEFM_DISCARD;
    }
    ext2fs_init_csum_seed(fs);
}

static gboolean check_options(const DinvExt4Options *options, GError **error) {
    if (options->label != NULL && strlen(options->label) > 16) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                    "the label \"%s\" is longer than 16 bytes", options->label);
        return FALSE;
    }
    const guint64 largest = (guint64)1 << 60; /* EiB: what ext4 addresses with 4 KiB blocks */
    if (options->size_bytes < BYTES_MIN || options->size_bytes > largest) {
        g_autofree char *size = dinv_ext4_image_size_text(options->size_bytes);
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "an ext4 image cannot have a size of %s (1 MiB to 1 EiB)", size);
        return FALSE;
    }
    return TRUE;
}

ext2_filsys dinv_ext4_begin(int fd, const DinvExt4Options *options, GError **error) {
    if (!check_options(options, error)) {
        return NULL;
    }
    struct ext2_super_block parameters;
    fill_parameters(options, &parameters);
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* closed by libext2fs */
    if (own_fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot make a file system");
        return NULL;
    }
    char name[16];
    (void)g_snprintf(name, sizeof name, "%d", own_fd);
    ext2_filsys fs = NULL;
    errcode_t code = ext2fs_initialize(name, EXT2_FLAG_64BITS, &parameters, unixfd_io_manager, &fs);
    if (code == 0) {
        fill_identity(fs, options);
        code = ext2fs_allocate_tables(fs);
    } else if (fcntl(own_fd, F_GETFD) >= 0) {
        close(own_fd);
    }
    if (code != 0) {
        g_autofree char *size = dinv_ext4_image_size_text(options->size_bytes);
        dinv_ext4_set_error(error, code, "cannot make a file system of %s", size);
        if (fs != NULL) {
            ext2fs_free(fs);
        }
        return NULL;
    }
    for (ext2_ino_t inode = 1; inode < EXT2_FIRST_INODE(fs->super); inode++) {
        if (inode != EXT2_ROOT_INO) {
            ext2fs_inode_alloc_stats2(fs, inode, +1, 0);
        }
    }
    return fs;
}

gboolean dinv_ext4_add_resize_inode(ext2_filsys fs, GError **error) {
    if (!ext2fs_has_feature_resize_inode(fs->super)) {
        return TRUE;
    }
    errcode_t code = ext2fs_create_resize_inode(fs);
    if (code != 0) {
        dinv_ext4_set_error(error, code, "cannot reserve room for growth");
    }
    return code == 0;
}

gboolean dinv_ext4_add_journal(ext2_filsys fs, const DinvExt4Options *options, GError **error) {
    guint64 blocks = dinv_ext4_journal_blocks(options);
    if (blocks == 0) {
        return TRUE;
    }
    errcode_t code = ext2fs_add_journal_inode2(
        fs, (blk_t)blocks, ~0ULL, EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK);
    if (code != 0) {
        dinv_ext4_set_error(error, code, "cannot make a journal");
    }
    return code == 0;
}

gboolean dinv_ext4_end(ext2_filsys fs, GError **error) {
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
    }
    errcode_t code = ext2fs_set_gdt_csum(fs);
    ext2fs_mark_valid(fs);
    ext2fs_mark_super_dirty(fs);
    ext2fs_mark_ib_dirty(fs);
    ext2fs_mark_bb_dirty(fs);
    if (code == 0) {
        code = ext2fs_flush(fs);
    }
    ext2fs_free(fs);
    if (code != 0) {
        dinv_ext4_set_error(error, code, "cannot write the file system");
    }
    return code == 0;
}

static errcode_t make_directories(ext2_filsys fs, gboolean with_lost_and_found) {
    errcode_t code = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, NULL);
    if (code != 0 || !with_lost_and_found) {
        return code;
    }
    ext2_ino_t lost_and_found = 0;
    code = ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, "lost+found");
    if (code == 0) {
        code = ext2fs_lookup(fs, EXT2_ROOT_INO, "lost+found", 10, NULL, &lost_and_found);
    }
    for (guint i = 1; code == 0 && i < LOST_AND_FOUND_BLOCKS; i++) {
        code = ext2fs_expand_dir(fs, lost_and_found);
    }
    struct ext2_inode inode;
    if (code == 0) {
        code = ext2fs_read_inode(fs, lost_and_found, &inode);
    }
    if (code == 0) {
        inode.i_mode = LINUX_S_IFDIR | 0700;
        code = ext2fs_write_inode(fs, lost_and_found, &inode);
    }
    return code;
}

static gboolean format_empty(int fd, const DinvExt4Options *options, GError **error) {
    ext2_filsys fs = dinv_ext4_begin(fd, options, error);
    if (fs == NULL) {
        return FALSE;
    }
    gboolean placed = dinv_ext4_add_resize_inode(fs, error);
    if (placed) {
        errcode_t code = make_directories(fs, !options->no_lost_and_found);
        if (code != 0) {
            dinv_ext4_set_error(error, code, "cannot make the root directory");
            placed = FALSE;
        }
    }
    if (!placed || !dinv_ext4_add_journal(fs, options, error)) {
        ext2fs_free(fs);
        return FALSE;
    }
    return dinv_ext4_end(fs, error);
}

gboolean dinv_ext4_create(const char *path, const DinvExt4Options *options, GError **error) {
    g_autoptr(DinvExt4Output) output = NULL;
    DinvExt4Options rounded = *options;
    rounded.size_bytes -= rounded.size_bytes % DINV_EXT4_BLOCK;
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_EXISTS,
                    "\"%s\" exists already and is left as it is", path);
        return FALSE;
    }
    output = dinv_ext4_output_new(path, 0600, error);
    if (output == NULL) {
        return FALSE;
    }
    int fd = dinv_ext4_output_get_fd(output);
    if (!check_options(&rounded, error)) {
        g_prefix_error(error, "cannot make \"%s\": ", path);
        return FALSE;
    }
    if (ftruncate(fd, (off_t)rounded.size_bytes) < 0) {
        g_autofree char *size = dinv_ext4_image_size_text(rounded.size_bytes);
        dinv_ext4_image_set_errno(error, errno, "cannot make \"%s\" with a size of %s", path, size);
        return FALSE;
    }
    if (!format_empty(fd, &rounded, error)) {
        g_prefix_error(error, "cannot make \"%s\": ", path);
        return FALSE;
    }
    return dinv_ext4_output_publish(output, FALSE, error);
}

gboolean dinv_ext4_create_data_disk(const char *path, guint64 size_bytes, GError **error) {
    const DinvExt4Options options = {.size_bytes = size_bytes, .label = DINV_WIRE_DISK_DATA};
    return dinv_ext4_create(path, &options, error);
}

gboolean dinv_ext4_create_volume(const char *path, guint64 size_bytes, GError **error) {
    const DinvExt4Options options = {
        .size_bytes = size_bytes, .label = DINV_WIRE_DISK_VOLUME, .no_lost_and_found = TRUE};
    return dinv_ext4_create(path, &options, error);
}

gboolean dinv_ext4_extend_file(const char *path, guint64 size_bytes, GError **error) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot open \"%s\"", path);
        if (fd >= 0) {
            close(fd);
        }
        return FALSE;
    }
    int result = 0;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        result = -1;
    } else if ((guint64)status.st_size < size_bytes) {
        result = ftruncate(fd, (off_t)size_bytes);
        if (result == 0) {
            result = fsync(fd);
        }
    }
    if (result < 0) {
        g_autofree char *size = dinv_ext4_image_size_text(size_bytes);
        dinv_ext4_image_set_errno(error, errno, "cannot grow \"%s\" to %s", path, size);
    }
    close(fd);
    return result == 0;
}

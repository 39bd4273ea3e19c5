/* SPDX-License-Identifier: MIT */
/*
 * create: makes ext4 file systems in sparse files through libext2fs. Inode tables and journal are
 * never written (a new sparse file reads as zeros, and the group descriptors say so), which is why
 * the size costs neither time nor place. What mkfs.ext4 has by default is on: extents, 64bit,
 * flex_bg, metadata_csum, huge_file, dir_index, resize_inode (for growth while mounted), and a
 * journal.
 */
#pragma once

#include "ext4/error.h"
#include "wire/disks.h"

typedef struct {
    guint64 size_bytes;      /* of the file and the file system; rounded down to 4 KiB */
    const char *label;       /* at most 16 bytes; NULL: none */
    const guint8 *uuid;      /* 16 bytes; NULL: random */
    const guint8 *hash_seed; /* 16 bytes; NULL: random */
    gint64 timestamp;        /* of the file system itself; 0: the clock's */
    /* For an image that is never mounted writable: no journal, no reserved blocks, nothing reserved
     * for growth, no lost+found. */
    gboolean read_only;
    gboolean no_lost_and_found; /* e2fsck makes it when it needs one */
    guint64 journal_bytes;      /* 0: by size, at most 128 MiB */
    guint32 bytes_per_inode;    /* 0: 16384 */
    guint32 inodes;             /* 0: by bytes_per_inode */
} DinvExt4Options;

/* Makes an empty file system in a new file (0600), whole or not at all. An existing file is never
 * touched: DINV_EXT4_IMAGE_ERROR_EXISTS. Blocks for some milliseconds and an fsync. */
gboolean dinv_ext4_create(const char *path, const DinvExt4Options *options,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes an image file longer, sparse; the file system in it is grown by the kernel that mounts it.
 * A file that is as long or longer is left as it is: nothing is ever shrunk. */
gboolean dinv_ext4_extend_file(const char *path, guint64 size_bytes,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The disks of a launcher, discards passed on: the data disk (label DINV_WIRE_DISK_DATA), and the
 * private volume (DINV_WIRE_DISK_VOLUME), whose top directory is empty: programs that want an
 * empty directory get it. */
gboolean dinv_ext4_create_data_disk(const char *path, guint64 size_bytes,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean dinv_ext4_create_volume(const char *path, guint64 size_bytes,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

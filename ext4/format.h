/* SPDX-License-Identifier: MIT */
/*
 * format: a file system in the making, from its empty tables to its end: what create.c and
 * write-tree.c share of libext2fs. Not for other rooms.
 */
#pragma once

#include <ext2fs/ext2fs.h>

#include "ext4/create.h"

#define DINV_EXT4_BLOCK 4096u

/* A new file system on `fd` (borrowed; a duplicate is used), its tables placed and the reserved
 * inodes taken, but no root directory yet; nothing has been written. NULL on failure. */
ext2_filsys dinv_ext4_begin(int fd, const DinvExt4Options *options, GError **error);
/* Adds the journal if the options want one. Call it when everything else has its place. */
gboolean dinv_ext4_add_journal(ext2_filsys fs, const DinvExt4Options *options,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Adds the resize inode if the file system has the feature. To be called first. */
gboolean dinv_ext4_add_resize_inode(ext2_filsys fs, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Writes all that is left and ends `fs`, also on failure. */
gboolean dinv_ext4_end(ext2_filsys fs, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Blocks that the journal will take. */
guint64 dinv_ext4_journal_blocks(const DinvExt4Options *options);

/* Sets `error` to "FORMAT…: what the code says". */
void dinv_ext4_set_error(GError **error, errcode_t code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

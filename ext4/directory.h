/* SPDX-License-Identifier: MIT */
/*
 * directory: the blocks of a directory, as a plain list of entries with the checksum's tail
 * (kernel: Documentation/filesystems/ext4/directory.rst). Not for other rooms.
 */
#pragma once

#include <ext2fs/ext2fs.h>

#include "ext4/tree.h"

/* Blocks of a directory with these names: exact, for names put in one after the other. */
guint64 dinv_ext4_directory_count_blocks(const GPtrArray *names);

/* Directory blocks in the making: zero-initialise, with zeroed `blocks` as many as were counted.
 * Every entry's length reaches up to the next one; the last one's to the checksum. */
typedef struct {
    guint8 *blocks;
    guint64 current; /* block */
    guint used;      /* bytes of it */
    struct ext2_dir_entry *last;
} DinvExt4DirectoryFill;

/* "." and ".." come first, then the children in the order of the names that were counted. */
void dinv_ext4_directory_append(ext2_filsys fs, DinvExt4DirectoryFill *fill, const char *name,
                                ext2_ino_t inode, mode_t mode);

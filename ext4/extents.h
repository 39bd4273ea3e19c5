/* SPDX-License-Identifier: MIT */
/*
 * extents: gives blocks of the image to a file, each run in one piece where the layout allows, and
 * notes them in the extent tree of its inode. Not for other rooms.
 */
#pragma once

#include <ext2fs/ext2fs.h>

#include "ext4/spool.h"

typedef struct {
    ext2_filsys fs;
    blk64_t goal; /* where the next allocation begins to look */
} DinvExt4Allocator;

/* Writes what belongs into `count` blocks of the image from `block` on; they are those of the run
 * that is being placed, from its block number `first` on. Runs are placed in order. */
typedef errcode_t (*DinvExt4PlaceFunction)(blk64_t block, guint64 first, guint64 count,
                                           gpointer user);

/* Makes the extents of the inode `number`: `runs` (of DinvExt4ContentRun, whose `spool_block` is
 * not looked at), `place` being called for every contiguous piece. An inode without runs gets an
 * empty extent tree. `large`, the inode itself, is still to be written afterwards. 0, or what
 * libext2fs or `place` said. */
errcode_t dinv_ext4_extents_allocate(DinvExt4Allocator *allocator, ext2_ino_t number,
                                     struct ext2_inode_large *large, const GArray *runs,
                                     DinvExt4PlaceFunction place, gpointer user);

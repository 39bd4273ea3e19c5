/* SPDX-License-Identifier: MIT */
/* ext4-count: how many blocks the nodes of a tree take in an image, before there is one. Not for
 * other rooms. */
#pragma once

#include "ext4/tree.h"

#define DINV_EXT4_EXTENTS_IN_INODE 4u
/* Bytes of a directory block that entries can have; the rest is the checksum's. */
#define DINV_EXT4_DIRECTORY_ROOM (4096u - 12u)
/* A target of up to this length is kept in the inode. */
#define DINV_EXT4_FAST_SYMLINK_MAX 59u

/* Bytes of a directory entry with a name of that length. */
guint dinv_ext4_entry_length(gsize name_length);
/* Blocks of a directory with these names: exact, for names put in one after the other. */
guint64 dinv_ext4_count_directory_blocks(const GPtrArray *names);
/* Blocks of a node with all that belongs to it, at most. `names` are those of a directory, else
 * NULL. */
guint64 dinv_ext4_count_blocks(const DinvExt4TreeNode *node, const GPtrArray *names);

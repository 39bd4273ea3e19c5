/* SPDX-License-Identifier: MIT */
/*
 * count: how many blocks the nodes of a tree take in an image, before there is one. Not for other
 * rooms.
 */
#pragma once

#include "ext4/tree.h"

#define DINV_EXT4_EXTENTS_IN_INODE 4u
/* A target of up to this length is kept in the inode. */
#define DINV_EXT4_FAST_SYMLINK_MAX 59u

/* Blocks of a node with all that belongs to it, at most. `names` are those of a directory, else
 * NULL. */
guint64 dinv_ext4_count_blocks(const DinvExt4TreeNode *node, const GPtrArray *names);

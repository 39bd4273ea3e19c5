/* SPDX-License-Identifier: MIT */
/* write-tree: writes a tree into a new ext4 file system. */
#pragma once

#include "ext4/create.h"
#include "ext4/tree.h"

/* Formats the empty file `fd` (borrowed) by `options` and writes `tree` into it. With size_bytes 0
 * the smallest size that holds the tree is taken; else a tree that does not fit is
 * DINV_EXT4_IMAGE_ERROR_FULL, found before anything is written. The bytes depend on nothing but the
 * tree and the options: where uuid, hash_seed and timestamp are not given, they are derived from
 * the tree. Does not fsync the name; blocks. */
gboolean dinv_ext4_write_tree(int fd, const DinvExt4Options *options, const DinvExt4Tree *tree,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

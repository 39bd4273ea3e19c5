/* SPDX-License-Identifier: MIT */
/*
 * inode: the inode of a node, but for where its bytes lie: type, owner, times, links, device
 * numbers (kernel: Documentation/filesystems/ext4/inodes.rst). Not for other rooms.
 */
#pragma once

#include <ext2fs/ext2fs.h>

#include "ext4/tree.h"

/* `inode` is overwritten. Times that ext4 cannot hold become the nearest ones that it can. */
void dinv_ext4_inode_fill(const DinvExt4TreeNode *node, struct ext2_inode_large *inode);
/* In bytes, of a file, directory or symbolic link. */
void dinv_ext4_inode_set_size(struct ext2_inode_large *inode, guint64 size);
/* The numbers of a device node; 0:0 leaves the inode of a fifo as it is. */
void dinv_ext4_inode_set_device(struct ext2_inode_large *inode,
                                const DinvExt4TreeAttributes *attributes);

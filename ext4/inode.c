/* SPDX-License-Identifier: MIT */
/* inode: fills in the fields of an inode, see inode.h. */
#include "ext4/inode.h"

#include <string.h>

#define LINKS_MAX 65000u

/* The upper bits of the seconds, which a signed 32-bit field has no place for, and nanoseconds. */
static guint32 time_extra(gint64 seconds, guint32 nanoseconds) {
    guint32 epoch =
        (guint32)(((seconds - (gint32)(guint32)((guint64)seconds & G_MAXUINT32)) >> 32) &
                  EXT4_EPOCH_MASK);
    return nanoseconds << EXT4_EPOCH_BITS | epoch;
}

/* A directory has "..", a name in its parent, and "." of its own; beyond what the field can hold
 * ext4 writes 1 (the feature dir_nlink). */
static guint directory_links(const DinvExt4TreeNode *directory) {
    guint links = 2;
    GHashTableIter children;
    gpointer child = NULL;
    g_hash_table_iter_init(&children, directory->children);
    while (g_hash_table_iter_next(&children, NULL, &child)) {
        links += ((const DinvExt4TreeNode *)child)->children != NULL ? 1 : 0;
    }
    return links < LINKS_MAX ? links : 1;
}

void dinv_ext4_inode_fill(const DinvExt4TreeNode *node, struct ext2_inode_large *inode) {
    const DinvExt4TreeAttributes *attributes = &node->attributes;
    const gint64 earliest = G_MININT32;
    const gint64 latest = earliest + ((gint64)1 << 34) - 1;
    gint64 seconds = CLAMP(attributes->mtime, earliest, latest);
    guint32 low = (guint32)((guint64)seconds & G_MAXUINT32);
    guint32 extra = time_extra(seconds, attributes->mtime_nsec);
    memset(inode, 0, sizeof *inode);
    inode->i_mode = (guint16)attributes->mode;
    inode->i_uid = (guint16)(attributes->uid & 0xffff);
    ext2fs_set_i_uid_high(*inode, (guint16)(attributes->uid >> 16));
    inode->i_gid = (guint16)(attributes->gid & 0xffff);
    ext2fs_set_i_gid_high(*inode, (guint16)(attributes->gid >> 16));
    inode->i_extra_isize = sizeof *inode - EXT2_GOOD_OLD_INODE_SIZE;
    inode->i_atime = inode->i_ctime = inode->i_mtime = inode->i_crtime = low;
    inode->i_atime_extra = inode->i_ctime_extra = inode->i_mtime_extra = inode->i_crtime_extra =
        extra;
    guint links = node->children != NULL ? directory_links(node) : node->links;
    inode->i_links_count = (guint16)links;
}

void dinv_ext4_inode_set_size(struct ext2_inode_large *inode, guint64 size) {
    inode->i_size = (guint32)(size & G_MAXUINT32);
    inode->i_size_high = (guint32)(size >> 32);
}

void dinv_ext4_inode_set_device(struct ext2_inode_large *inode,
                                const DinvExt4TreeAttributes *attributes) {
    guint32 major = attributes->device_major;
    guint32 minor = attributes->device_minor;
    if (major < 256 && minor < 256) {
        inode->i_block[0] = major << 8 | minor;
    } else {
        inode->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
    }
}

/* SPDX-License-Identifier: MIT */
/* count: reckons blocks, on the safe side, see count.h. */
#include "ext4/count.h"

#include <string.h>

#include "ext4/directory.h"

#define EXTENTS_IN_LEAF 340u
#define XATTRS_IN_INODE 64u /* a cautious guess: what is certain to fit */
#define GROUP_BLOCKS    32768u

/* Blocks of an extent tree, at most: leaves half full, an allocation cut at every group's
 * border. */
static guint64 count_extent_blocks(const DinvExt4Content *content, guint64 blocks) {
    guint64 extents = content->runs->len + 2 * (blocks / GROUP_BLOCKS) + 1;
    if (extents <= DINV_EXT4_EXTENTS_IN_INODE) {
        return 0;
    }
    guint64 leaves = extents / (EXTENTS_IN_LEAF / 2) + 1;
    return leaves + leaves / (EXTENTS_IN_LEAF / 2) + 1;
}

static guint64 count_content_blocks(const DinvExt4Content *content) {
    guint64 blocks = 0;
    for (guint i = 0; i < content->runs->len; i++) {
        blocks += g_array_index(content->runs, DinvExt4ContentRun, i).count;
    }
    return blocks + count_extent_blocks(content, blocks);
}

static guint64 count_xattr_blocks(const GPtrArray *xattrs) {
    gsize bytes = 0;
    for (guint i = 0; xattrs != NULL && i < xattrs->len; i++) {
        const DinvExt4Xattr *xattr = g_ptr_array_index(xattrs, i);
        bytes += 16 + strlen(xattr->name) + 4 + g_bytes_get_size(xattr->value) + 4;
    }
    return bytes > XATTRS_IN_INODE ? 1 : 0;
}

guint64 dinv_ext4_count_blocks(const DinvExt4TreeNode *node, const GPtrArray *names) {
    guint64 blocks = count_xattr_blocks(node->attributes.xattrs);
    if (names != NULL) {
        guint64 own = dinv_ext4_directory_count_blocks(names);
        blocks += own + (own > DINV_EXT4_EXTENTS_IN_INODE ? own / (EXTENTS_IN_LEAF / 2) + 2 : 0);
    } else if (node->content != NULL) {
        blocks += count_content_blocks(node->content);
    } else if (node->target != NULL && strlen(node->target) > DINV_EXT4_FAST_SYMLINK_MAX) {
        blocks++;
    }
    return blocks;
}

/* SPDX-License-Identifier: MIT */
/* extents: allocates blocks and notes them in an inode, see extents.h. */
#include "ext4/extents.h"

#include <string.h>

#include "ext4/count.h"

#define EXTENT_BLOCKS_MAX 32768u /* of an initialised extent */

static void begin_extents(struct ext2_inode_large *inode) {
    struct ext3_extent_header header = {
        .eh_magic = ext2fs_cpu_to_le16(EXT3_EXT_MAGIC),
        .eh_max = ext2fs_cpu_to_le16(DINV_EXT4_EXTENTS_IN_INODE),
    };
    inode->i_flags |= EXT4_EXTENTS_FL;
    memcpy(inode->i_block, &header, sizeof header);
}

static errcode_t allocate_run(DinvExt4Allocator *allocator, ext2_extent_handle_t handle,
                              struct ext2_inode *inode, const DinvExt4ContentRun *run,
                              DinvExt4PlaceFunction place, gpointer user) {
    for (guint64 done = 0; done < run->count;) {
        blk64_t block = 0;
        blk64_t length = 0;
        blk64_t wanted = MIN(run->count - done, EXTENT_BLOCKS_MAX);
        errcode_t code =
            ext2fs_new_range(allocator->fs, 0, allocator->goal, wanted, NULL, &block, &length);
        if (code != 0) {
            return code;
        }
        length = MIN(length, wanted);
        ext2fs_block_alloc_stats_range(allocator->fs, block, (blk_t)length, +1);
        allocator->goal = block + length;
        struct ext2fs_extent extent = {
            .e_pblk = block, .e_lblk = run->file_block + done, .e_len = (__u32)length};
        code = ext2fs_extent_insert(handle, EXT2_EXTENT_INSERT_AFTER, &extent);
        if (code == 0) {
            code = ext2fs_iblk_add_blocks(allocator->fs, inode, length);
        }
        if (code == 0) {
            code = place(block, done, length, user);
        }
        if (code != 0) {
            return code;
        }
        done += length;
    }
    return 0;
}

errcode_t dinv_ext4_extents_allocate(DinvExt4Allocator *allocator, ext2_ino_t number,
                                     struct ext2_inode_large *large, const GArray *runs,
                                     DinvExt4PlaceFunction place, gpointer user) {
    struct ext2_inode *inode = EXT2_INODE(large);
    ext2_extent_handle_t handle = NULL;
    begin_extents(large);
    if (runs->len == 0) {
        return 0;
    }
    /* libext2fs updates the inode on the disk with every extent. */
    errcode_t code = ext2fs_write_inode_full(allocator->fs, number, inode, sizeof *large);
    if (code == 0) {
        code = ext2fs_extent_open2(allocator->fs, number, inode, &handle);
    }
    for (guint i = 0; code == 0 && i < runs->len; i++) {
        code = allocate_run(allocator, handle, inode, &g_array_index(runs, DinvExt4ContentRun, i),
                            place, user);
    }
    if (code == 0) {
        code = ext2fs_extent_fix_parents(handle);
    }
    if (handle != NULL) {
        ext2fs_extent_free(handle);
    }
    return code;
}

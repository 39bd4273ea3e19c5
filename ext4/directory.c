/* SPDX-License-Identifier: MIT */
/* directory: counts and fills the blocks of a directory, see directory.h. */
#include "ext4/directory.h"

#include <string.h>
#include <sys/stat.h>

#include "ext4/format.h"

/* Bytes of a block that entries can have; the rest is the checksum's. */
#define ENTRIES_ROOM (DINV_EXT4_BLOCK - 12u)
#define DOTS_BYTES   24u /* "." and ".." */

/* Bytes of a directory entry with a name of that length. */
static guint entry_length(gsize name_length) {
    return 8 + (((guint)name_length + 3) & ~3U);
}

guint64 dinv_ext4_directory_count_blocks(const GPtrArray *names) {
    guint64 blocks = 1;
    guint used = DOTS_BYTES;
    for (guint i = 0; i < names->len; i++) {
        guint length = entry_length(strlen(g_ptr_array_index(names, i)));
        if (used + length > ENTRIES_ROOM) {
            blocks++;
            used = 0;
        }
        used += length;
    }
    return blocks;
}

static int entry_type(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return EXT2_FT_DIR;
    case S_IFLNK:
        return EXT2_FT_SYMLINK;
    case S_IFCHR:
        return EXT2_FT_CHRDEV;
    case S_IFBLK:
        return EXT2_FT_BLKDEV;
    case S_IFIFO:
        return EXT2_FT_FIFO;
    default:
        return EXT2_FT_REG_FILE;
    }
}

void dinv_ext4_directory_append(ext2_filsys fs, DinvExt4DirectoryFill *fill, const char *name,
                                ext2_ino_t inode, mode_t mode) {
    gsize name_length = strlen(name);
    guint length = entry_length(name_length);
    if (fill->used + length > ENTRIES_ROOM) {
        fill->current++;
        fill->used = 0;
        fill->last = NULL;
    }
    guint8 *block = fill->blocks + fill->current * DINV_EXT4_BLOCK;
    if (fill->last != NULL) {
        guint previous = (guint)((guint8 *)fill->last - block);
        (void)ext2fs_set_rec_len(fs, fill->used - previous, fill->last);
    } else {
        ext2fs_initialize_dirent_tail(fs, EXT2_DIRENT_TAIL(block, DINV_EXT4_BLOCK));
    }
    struct ext2_dir_entry *entry = (struct ext2_dir_entry *)(void *)(block + fill->used);
    entry->inode = inode;
    ext2fs_dirent_set_name_len(entry, (int)name_length);
    ext2fs_dirent_set_file_type(entry, entry_type(mode));
    memcpy(entry->name, name, name_length); /* the format has no terminating zero */
    (void)ext2fs_set_rec_len(fs, ENTRIES_ROOM - fill->used, entry);
    fill->used += length;
    fill->last = entry;
}

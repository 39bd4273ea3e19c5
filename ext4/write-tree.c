/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The tree is complete, so everything is known before the first byte is
 * written: nodes are put into a list (a directory before its children, children by name), the
 * blocks they need are counted, and the size is either checked or found. Then inode numbers are
 * given out in the order of the list, directories are written side by side at the front, contents
 * behind them, each in one piece where the layout allows. Nothing is ever looked up or rewritten in
 * the image, so ten thousand names in a directory cost no more than ten thousand names.
 */
#include "ext4/write-tree.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext4/count.h"
#include "ext4/format.h"

#define COPY_BLOCKS       256u
#define EXTENT_BLOCKS_MAX 32768u /* of an initialised extent */
#define LINKS_MAX         65000u
#define SIZE_ATTEMPTS     1000u

typedef struct {
    const DinvExt4TreeNode *node;
    GPtrArray *names; /* of a directory: sorted; else NULL */
    ext2_ino_t inode;
    /* For messages. */
    const char *name;
    guint parent; /* index in the list; the root's is itself */
} Item;

typedef struct {
    ext2_filsys fs;
    DinvExt4Spool *spool;
    GArray *items;      /* of Item */
    GHashTable *inodes; /* node -> inode number */
    guint64 blocks;     /* needed for contents, directories and the like */
    blk64_t goal;       /* where the next allocation begins to look */
    guint8 *buffer;     /* COPY_BLOCKS */
} Writer;

static void item_clear(gpointer data) {
    Item *item = data;
    g_clear_pointer(&item->names, g_ptr_array_unref);
}

static void collect(Writer *writer, const DinvExt4TreeNode *node, const char *name, guint parent) {
    if (g_hash_table_contains(writer->inodes, node)) {
        return; /* another name of it */
    }
    g_hash_table_insert(writer->inodes, (gpointer)node, NULL);
    Item item = {.node = node, .name = name, .parent = parent};
    if (node->children != NULL) {
        item.names = dinv_ext4_tree_sorted_names(node);
    }
    writer->blocks += dinv_ext4_count_blocks(node, item.names);
    GPtrArray *names = item.names;
    guint index = writer->items->len;
    g_array_append_val(writer->items, item);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *child = g_ptr_array_index(names, i);
        collect(writer, g_hash_table_lookup(node->children, child), child, index);
    }
}

/* What is missing in `fs`; 0 if the tree fits. */
static guint64 missing_blocks(const Writer *writer, ext2_filsys fs,
                              const DinvExt4Options *options) {
    guint64 need = writer->blocks + dinv_ext4_journal_blocks(options);
    /* A journal of an odd length may need a block for its extents. */
    need += options->read_only ? 0 : 8;
    guint64 room = ext2fs_free_blocks_count(fs->super);
    return need > room ? need - room : 0;
}

/* The smallest size: from below, by what is missing. The last group is left out by libext2fs while
 * it is too small for its own tables, so a step can be without effect. */
static gboolean find_size(const Writer *writer, int fd, DinvExt4Options *options, GError **error) {
    guint64 blocks = writer->blocks + options->inodes / 16 + dinv_ext4_journal_blocks(options) + 16;
    blocks = MAX(blocks, ((guint64)1 << 20) / DINV_EXT4_BLOCK);
    for (guint attempt = 0; attempt < SIZE_ATTEMPTS; attempt++) {
        g_autoptr(GError) local_error = NULL;
        options->size_bytes = blocks * DINV_EXT4_BLOCK;
        ext2_filsys fs = dinv_ext4_begin(fd, options, &local_error);
        guint64 missing = 1;
        if (fs != NULL) {
            missing = missing_blocks(writer, fs, options);
            ext2fs_free(fs);
        }
        if (missing == 0) {
            return TRUE;
        }
        blocks += MAX(missing, 16);
    }
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                "no size of a file system holds the content");
    return FALSE;
}

static gboolean check_room(const Writer *writer, const DinvExt4Options *options, GError **error) {
    guint64 missing = missing_blocks(writer, writer->fs, options);
    guint64 inodes = writer->items->len;
    guint64 free_inodes = writer->fs->super->s_free_inodes_count;
    if (missing > 0) {
        g_autofree char *size = dinv_ext4_image_size_text(options->size_bytes);
        g_autofree char *more = dinv_ext4_image_size_text(missing * DINV_EXT4_BLOCK);
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL,
                    "the content does not fit into an image of %s: %s more are needed", size, more);
        return FALSE;
    }
    if (inodes > free_inodes) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL,
                    "the content has %" G_GUINT64_FORMAT
                    " files, the image has inodes for %" G_GUINT64_FORMAT,
                    inodes, free_inodes);
        return FALSE;
    }
    return TRUE;
}

/* Root first, then the rest in list order from the first free inode on. */
static void number_inodes(Writer *writer) {
    ext2_ino_t next = EXT2_FIRST_INODE(writer->fs->super);
    for (guint i = 0; i < writer->items->len; i++) {
        Item *item = &g_array_index(writer->items, Item, i);
        item->inode = i == 0 ? EXT2_ROOT_INO : next++;
        ext2fs_inode_alloc_stats2(writer->fs, item->inode, +1, item->names != NULL);
        g_hash_table_insert(writer->inodes, (gpointer)item->node, GUINT_TO_POINTER(item->inode));
    }
}

static guint32 time_extra(gint64 seconds, guint32 nanoseconds) {
    guint32 epoch =
        (guint32)(((seconds - (gint32)(guint32)((guint64)seconds & G_MAXUINT32)) >> 32) &
                  EXT4_EPOCH_MASK);
    return nanoseconds << EXT4_EPOCH_BITS | epoch;
}

static void fill_inode(const Item *item, struct ext2_inode_large *inode) {
    const DinvExt4TreeAttributes *attributes = &item->node->attributes;
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
    guint links = item->node->links;
    if (item->names != NULL) {
        links = 2;
        for (guint i = 0; i < item->names->len; i++) {
            const DinvExt4TreeNode *child =
                g_hash_table_lookup(item->node->children, g_ptr_array_index(item->names, i));
            links += child->children != NULL ? 1 : 0;
        }
        links = links < LINKS_MAX ? links : 1; /* dir_nlink */
    }
    inode->i_links_count = (guint16)links;
}

static void set_size(struct ext2_inode_large *inode, guint64 size) {
    inode->i_size = (guint32)(size & G_MAXUINT32);
    inode->i_size_high = (guint32)(size >> 32);
}

static void begin_extents(struct ext2_inode_large *inode) {
    struct ext3_extent_header header = {
        .eh_magic = ext2fs_cpu_to_le16(EXT3_EXT_MAGIC),
        .eh_max = ext2fs_cpu_to_le16(DINV_EXT4_EXTENTS_IN_INODE),
    };
    inode->i_flags |= EXT4_EXTENTS_FL;
    memcpy(inode->i_block, &header, sizeof header);
}

/* Gives `count` blocks from `file_block` on to the inode, calling `place` for every contiguous
 * piece. */
typedef errcode_t (*PlaceFunction)(Writer *writer, blk64_t block, guint64 first, guint64 count,
                                   gpointer user);

static errcode_t allocate_run(Writer *writer, ext2_extent_handle_t handle, struct ext2_inode *inode,
                              const DinvExt4ContentRun *run, PlaceFunction place, gpointer user) {
    for (guint64 done = 0; done < run->count;) {
        blk64_t block = 0;
        blk64_t length = 0;
        blk64_t wanted = MIN(run->count - done, EXTENT_BLOCKS_MAX);
        errcode_t code =
            ext2fs_new_range(writer->fs, 0, writer->goal, wanted, NULL, &block, &length);
        if (code != 0) {
            return code;
        }
        length = MIN(length, wanted);
        ext2fs_block_alloc_stats_range(writer->fs, block, (blk_t)length, +1);
        writer->goal = block + length;
        struct ext2fs_extent extent = {
            .e_pblk = block, .e_lblk = run->file_block + done, .e_len = (__u32)length};
        code = ext2fs_extent_insert(handle, EXT2_EXTENT_INSERT_AFTER, &extent);
        if (code == 0) {
            code = ext2fs_iblk_add_blocks(writer->fs, inode, length);
        }
        if (code == 0) {
            code = place(writer, block, done, length, user);
        }
        if (code != 0) {
            return code;
        }
        done += length;
    }
    return 0;
}

static errcode_t allocate_runs(Writer *writer, ext2_ino_t number, struct ext2_inode_large *large,
                               const GArray *runs, PlaceFunction place, gpointer user) {
    struct ext2_inode *inode = EXT2_INODE(large);
    ext2_extent_handle_t handle = NULL;
    begin_extents(large);
    if (runs->len == 0) {
        return 0;
    }
    /* libext2fs updates the inode on the disk with every extent. */
    errcode_t code = ext2fs_write_inode_full(writer->fs, number, inode, sizeof *large);
    if (code == 0) {
        code = ext2fs_extent_open2(writer->fs, number, inode, &handle);
    }
    for (guint i = 0; code == 0 && i < runs->len; i++) {
        code = allocate_run(writer, handle, inode, &g_array_index(runs, DinvExt4ContentRun, i),
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

typedef struct {
    const DinvExt4Content *content;
    const DinvExt4ContentRun *run; /* the one being placed; runs are placed in order */
    GError *error;
} ContentPlace;

static errcode_t place_content(Writer *writer, blk64_t block, guint64 first, guint64 count,
                               gpointer user) {
    ContentPlace *place = user;
    const GArray *runs = place->content->runs;
    if (first == 0) {
        place->run =
            place->run == NULL ? &g_array_index(runs, DinvExt4ContentRun, 0) : place->run + 1;
    }
    for (guint64 done = 0; done < count;) {
        gsize piece = (gsize)MIN(count - done, COPY_BLOCKS);
        if (!dinv_ext4_spool_read(writer->spool, place->run->spool_block + first + done, piece,
                                  writer->buffer, &place->error)) {
            return EIO;
        }
        errcode_t code =
            io_channel_write_blk64(writer->fs->io, block + done, (int)piece, writer->buffer);
        if (code != 0) {
            return code;
        }
        done += piece;
    }
    return 0;
}

/* Blocks made in memory: those of a long symbolic link. */
static errcode_t place_memory(Writer *writer, blk64_t block, guint64 first, guint64 count,
                              gpointer user) {
    const guint8 *bytes = user;
    return io_channel_write_blk64(writer->fs->io, block, (int)count,
                                  bytes + first * DINV_EXT4_BLOCK);
}

typedef struct {
    const guint8 *blocks;
    ext2_ino_t inode;
} DirectoryPlace;

static errcode_t place_directory(Writer *writer, blk64_t block, guint64 first, guint64 count,
                                 gpointer user) {
    const DirectoryPlace *place = user;
    errcode_t code = 0;
    for (guint64 i = 0; code == 0 && i < count; i++) {
        memcpy(writer->buffer, place->blocks + (first + i) * DINV_EXT4_BLOCK, DINV_EXT4_BLOCK);
        code = ext2fs_write_dir_block4(writer->fs, block + i, writer->buffer, 0, place->inode);
    }
    return code;
}

static int entry_type(const DinvExt4TreeNode *node) {
    switch (node->attributes.mode & S_IFMT) {
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

/* Directory blocks in the making. Every entry's length reaches up to the next one; the last one's
 * to the checksum. */
typedef struct {
    guint8 *blocks;
    guint64 current; /* block */
    guint used;      /* bytes of it */
    struct ext2_dir_entry *last;
} DirectoryFill;

static void append_entry(Writer *writer, DirectoryFill *fill, const char *name, gsize name_length,
                         ext2_ino_t inode, int type) {
    guint length = dinv_ext4_entry_length(name_length);
    if (fill->used + length > DINV_EXT4_DIRECTORY_ROOM) {
        fill->current++;
        fill->used = 0;
        fill->last = NULL;
    }
    guint8 *block = fill->blocks + fill->current * DINV_EXT4_BLOCK;
    if (fill->last != NULL) {
        guint previous = (guint)((guint8 *)fill->last - block);
        (void)ext2fs_set_rec_len(writer->fs, fill->used - previous, fill->last);
    } else {
        ext2fs_initialize_dirent_tail(writer->fs, EXT2_DIRENT_TAIL(block, DINV_EXT4_BLOCK));
    }
    struct ext2_dir_entry *entry = (struct ext2_dir_entry *)(void *)(block + fill->used);
    entry->inode = inode;
    ext2fs_dirent_set_name_len(entry, (int)name_length);
    ext2fs_dirent_set_file_type(entry, type);
    memcpy(entry->name, name, name_length); /* the format has no terminating zero */
    (void)ext2fs_set_rec_len(writer->fs, DINV_EXT4_DIRECTORY_ROOM - fill->used, entry);
    fill->used += length;
    fill->last = entry;
}

static ext2_ino_t inode_of(const Writer *writer, const DinvExt4TreeNode *node) {
    return GPOINTER_TO_UINT(g_hash_table_lookup(writer->inodes, node));
}

static errcode_t write_directory(Writer *writer, const Item *item, struct ext2_inode_large *inode) {
    guint64 count = dinv_ext4_count_directory_blocks(item->names);
    g_autofree guint8 *blocks = g_malloc0((gsize)count * DINV_EXT4_BLOCK);
    DirectoryFill fill = {.blocks = blocks};
    append_entry(writer, &fill, ".", 1, item->inode, EXT2_FT_DIR);
    append_entry(writer, &fill, "..", 2, inode_of(writer, item->node->parent), EXT2_FT_DIR);
    for (guint i = 0; i < item->names->len; i++) {
        const char *name = g_ptr_array_index(item->names, i);
        const DinvExt4TreeNode *child = g_hash_table_lookup(item->node->children, name);
        append_entry(writer, &fill, name, strlen(name), inode_of(writer, child), entry_type(child));
    }
    g_assert(fill.current + 1 == count);
    const DinvExt4ContentRun run = {.count = count};
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(DinvExt4ContentRun));
    g_array_append_val(runs, run);
    DirectoryPlace place = {blocks, item->inode};
    set_size(inode, count * DINV_EXT4_BLOCK);
    return allocate_runs(writer, item->inode, inode, runs, place_directory, &place);
}

static errcode_t write_symlink(Writer *writer, const Item *item, struct ext2_inode_large *inode) {
    const char *target = item->node->target;
    gsize length = strlen(target);
    set_size(inode, length);
    if (length <= DINV_EXT4_FAST_SYMLINK_MAX) {
        memcpy(inode->i_block, target, length + 1);
        return 0;
    }
    g_autofree guint8 *block = g_malloc0(DINV_EXT4_BLOCK);
    memcpy(block, target, length + 1);
    const DinvExt4ContentRun run = {.count = 1};
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(DinvExt4ContentRun));
    g_array_append_val(runs, run);
    return allocate_runs(writer, item->inode, inode, runs, place_memory, block);
}

static errcode_t write_content(Writer *writer, const Item *item, struct ext2_inode_large *inode,
                               GError **error) {
    ContentPlace place = {.content = item->node->content};
    set_size(inode, place.content->size);
    errcode_t code =
        allocate_runs(writer, item->inode, inode, place.content->runs, place_content, &place);
    if (place.error != NULL) {
        g_propagate_error(error, place.error);
    }
    return code;
}

static void set_device(const DinvExt4TreeAttributes *attributes, struct ext2_inode_large *inode) {
    guint32 major = attributes->device_major;
    guint32 minor = attributes->device_minor;
    if (major < 256 && minor < 256) {
        inode->i_block[0] = major << 8 | minor;
    } else {
        inode->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
    }
}

static errcode_t write_xattrs(Writer *writer, const Item *item) {
    const GPtrArray *xattrs = item->node->attributes.xattrs;
    struct ext2_xattr_handle *handle = NULL;
    if (xattrs == NULL || xattrs->len == 0) {
        return 0;
    }
    errcode_t code = ext2fs_xattrs_open(writer->fs, item->inode, &handle);
    if (code == 0) {
        code = ext2fs_xattrs_read(handle);
    }
    for (guint i = 0; code == 0 && i < xattrs->len; i++) {
        const DinvExt4Xattr *xattr = g_ptr_array_index(xattrs, i);
        gsize length = 0;
        const void *value = g_bytes_get_data(xattr->value, &length);
        code = ext2fs_xattr_set(handle, xattr->name, value, length);
    }
    if (handle != NULL) {
        (void)ext2fs_xattrs_close(&handle);
    }
    return code;
}

static char *item_path(const Writer *writer, const Item *item) {
    g_autoptr(GString) path = g_string_new(NULL);
    while (item->name[0] != '\0') {
        g_string_prepend(path, item->name);
        g_string_prepend_c(path, '/');
        item = &g_array_index(writer->items, Item, item->parent);
    }
    return g_string_free(g_steal_pointer(&path), FALSE);
}

static gboolean write_item(Writer *writer, const Item *item, GError **error) {
    struct ext2_inode_large inode;
    const DinvExt4TreeNode *node = item->node;
    g_autoptr(GError) cause = NULL;
    errcode_t code = 0;
    fill_inode(item, &inode);
    if (item->names != NULL) {
        code = write_directory(writer, item, &inode);
    } else if (node->content != NULL) {
        code = write_content(writer, item, &inode, &cause);
    } else if (node->target != NULL) {
        code = write_symlink(writer, item, &inode);
    } else {
        set_device(&node->attributes, &inode);
    }
    if (code == 0) {
        code = ext2fs_write_inode_full(writer->fs, item->inode, EXT2_INODE(&inode), sizeof inode);
    }
    if (code == 0) {
        code = write_xattrs(writer, item);
    }
    if (code == EXT2_ET_EA_NO_SPACE) {
        g_autofree char *path = item_path(writer, item);
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "the extended attributes of \"%s\" are more than ext4 can hold", path);
        return FALSE;
    }
    if (cause != NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
    } else if (code != 0) {
        g_autofree char *path = item_path(writer, item);
        dinv_ext4_set_error(error, code, "cannot write \"%s\" into the image", path);
    }
    return code == 0;
}

static gboolean write_items(Writer *writer, gboolean directories, GError **error) {
    for (guint i = 0; i < writer->items->len; i++) {
        const Item *item = &g_array_index(writer->items, Item, i);
        if ((item->names != NULL) == directories && !write_item(writer, item, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean format_and_write(Writer *writer, int fd, const DinvExt4Options *options,
                                 GError **error) {
    if (ftruncate(fd, (off_t)options->size_bytes) < 0) {
        g_autofree char *size = dinv_ext4_image_size_text(options->size_bytes);
        dinv_ext4_image_set_errno(error, errno, "cannot make an image of %s", size);
        return FALSE;
    }
    writer->fs = dinv_ext4_begin(fd, options, error);
    if (writer->fs == NULL) {
        return FALSE;
    }
    gboolean good =
        dinv_ext4_add_resize_inode(writer->fs, error) && check_room(writer, options, error);
    if (good) {
        number_inodes(writer);
        good = write_items(writer, TRUE, error) && write_items(writer, FALSE, error) &&
               dinv_ext4_add_journal(writer->fs, options, error);
    }
    if (!good) {
        ext2fs_free(writer->fs);
        return FALSE;
    }
    return dinv_ext4_end(writer->fs, error);
}

/* What the options leave open, from the tree: an image of the same tree has the same bytes. */
static void derive_identity(const DinvExt4Tree *tree, guint8 digest[static 32],
                            DinvExt4Options *options) {
    dinv_ext4_tree_digest(tree, digest);
    digest[6] = (digest[6] & 0x0f) | 0x80; /* RFC 9562, version 8: made by a rule of our own */
    digest[8] = (digest[8] & 0x3f) | 0x80;
    options->uuid = options->uuid != NULL ? options->uuid : digest;
    options->hash_seed = options->hash_seed != NULL ? options->hash_seed : digest + 16;
    if (options->timestamp == 0) {
        options->timestamp = MAX(dinv_ext4_tree_get_newest(tree), 1);
    }
}

gboolean dinv_ext4_write_tree(int fd, const DinvExt4Options *options, const DinvExt4Tree *tree,
                              GError **error) {
    DinvExt4Options complete = *options;
    guint8 digest[32];
    derive_identity(tree, digest, &complete);
    complete.size_bytes -= complete.size_bytes % DINV_EXT4_BLOCK;
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(Item));
    g_array_set_clear_func(items, item_clear);
    g_autoptr(GHashTable) inodes = g_hash_table_new(NULL, NULL);
    g_autofree guint8 *buffer = g_malloc((gsize)COPY_BLOCKS * DINV_EXT4_BLOCK);
    Writer writer = {.spool = dinv_ext4_tree_get_spool(tree),
                     .items = items,
                     .inodes = inodes,
                     .buffer = buffer};
    collect(&writer, dinv_ext4_tree_get_root(tree), "", 0);
    if (complete.size_bytes == 0) {
        complete.inodes = complete.inodes != 0 ? complete.inodes : items->len + 16;
        if (!find_size(&writer, fd, &complete, error)) {
            return FALSE;
        }
    }
    return format_and_write(&writer, fd, &complete, error);
}

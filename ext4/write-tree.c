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
#include "ext4/directory.h"
#include "ext4/extents.h"
#include "ext4/format.h"
#include "ext4/inode.h"

#define COPY_BLOCKS   256u
#define SIZE_ATTEMPTS 1000u

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
    DinvExt4Allocator allocator;
    guint8 *buffer; /* COPY_BLOCKS */
} Writer;

static void item_clear(gpointer data) {
    Item *item = data;
    g_clear_pointer(&item->names, g_ptr_array_unref);
}

static void collect_nodes(Writer *writer, const DinvExt4TreeNode *node, const char *name,
                          guint parent) {
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
        collect_nodes(writer, g_hash_table_lookup(node->children, child), child, index);
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

typedef struct {
    Writer *writer;
    const DinvExt4Content *content;
    const DinvExt4ContentRun *run; /* the one being placed; runs are placed in order */
    GError *error;
} ContentPlace;

static errcode_t place_content(blk64_t block, guint64 first, guint64 count, gpointer user) {
    ContentPlace *place = user;
    Writer *writer = place->writer;
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

/* Blocks made in memory. */
typedef struct {
    Writer *writer;
    const guint8 *blocks;
    ext2_ino_t inode;
} MemoryPlace;

/* The one block of a long symbolic link. */
static errcode_t place_target(blk64_t block, guint64 first, guint64 count, gpointer user) {
    const MemoryPlace *place = user;
    return io_channel_write_blk64(place->writer->fs->io, block, (int)count,
                                  place->blocks + first * DINV_EXT4_BLOCK);
}

static errcode_t place_directory(blk64_t block, guint64 first, guint64 count, gpointer user) {
    const MemoryPlace *place = user;
    Writer *writer = place->writer;
    errcode_t code = 0;
    for (guint64 i = 0; code == 0 && i < count; i++) {
        memcpy(writer->buffer, place->blocks + (first + i) * DINV_EXT4_BLOCK, DINV_EXT4_BLOCK);
        code = ext2fs_write_dir_block4(writer->fs, block + i, writer->buffer, 0, place->inode);
    }
    return code;
}

static errcode_t allocate_blocks(Writer *writer, const Item *item, struct ext2_inode_large *inode,
                                 const GArray *runs, DinvExt4PlaceFunction place, gpointer user) {
    return dinv_ext4_extents_allocate(&writer->allocator, item->inode, inode, runs, place, user);
}

static ext2_ino_t inode_of(const Writer *writer, const DinvExt4TreeNode *node) {
    return GPOINTER_TO_UINT(g_hash_table_lookup(writer->inodes, node));
}

static errcode_t write_directory(Writer *writer, const Item *item, struct ext2_inode_large *inode) {
    guint64 count = dinv_ext4_directory_count_blocks(item->names);
    g_autofree guint8 *blocks = g_malloc0((gsize)count * DINV_EXT4_BLOCK);
    DinvExt4DirectoryFill fill = {.blocks = blocks};
    dinv_ext4_directory_append(writer->fs, &fill, ".", item->inode, S_IFDIR);
    dinv_ext4_directory_append(writer->fs, &fill, "..", inode_of(writer, item->node->parent),
                               S_IFDIR);
    for (guint i = 0; i < item->names->len; i++) {
        const char *name = g_ptr_array_index(item->names, i);
        const DinvExt4TreeNode *child = g_hash_table_lookup(item->node->children, name);
        dinv_ext4_directory_append(writer->fs, &fill, name, inode_of(writer, child),
                                   child->attributes.mode);
    }
    g_assert(fill.current + 1 == count);
    const DinvExt4ContentRun run = {.count = count};
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(DinvExt4ContentRun));
    g_array_append_val(runs, run);
    MemoryPlace place = {.writer = writer, .blocks = blocks, .inode = item->inode};
    dinv_ext4_inode_set_size(inode, count * DINV_EXT4_BLOCK);
    return allocate_blocks(writer, item, inode, runs, place_directory, &place);
}

static errcode_t write_symlink(Writer *writer, const Item *item, struct ext2_inode_large *inode) {
    const char *target = item->node->target;
    gsize length = strlen(target);
    dinv_ext4_inode_set_size(inode, length);
    if (length <= DINV_EXT4_FAST_SYMLINK_MAX) {
        memcpy(inode->i_block, target, length + 1);
        return 0;
    }
    g_autofree guint8 *block = g_malloc0(DINV_EXT4_BLOCK);
    memcpy(block, target, length + 1);
    const DinvExt4ContentRun run = {.count = 1};
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(DinvExt4ContentRun));
    g_array_append_val(runs, run);
    MemoryPlace place = {.writer = writer, .blocks = block, .inode = item->inode};
    return allocate_blocks(writer, item, inode, runs, place_target, &place);
}

static errcode_t write_content(Writer *writer, const Item *item, struct ext2_inode_large *inode,
                               GError **error) {
    ContentPlace place = {.writer = writer, .content = item->node->content};
    dinv_ext4_inode_set_size(inode, place.content->size);
    errcode_t code =
        allocate_blocks(writer, item, inode, place.content->runs, place_content, &place);
    if (place.error != NULL) {
        g_propagate_error(error, place.error);
    }
    return code;
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
    dinv_ext4_inode_fill(node, &inode);
    if (item->names != NULL) {
        code = write_directory(writer, item, &inode);
    } else if (node->content != NULL) {
        code = write_content(writer, item, &inode, &cause);
    } else if (node->target != NULL) {
        code = write_symlink(writer, item, &inode);
    } else {
        dinv_ext4_inode_set_device(&inode, &node->attributes);
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
    writer->allocator.fs = writer->fs;
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
    collect_nodes(&writer, dinv_ext4_tree_get_root(tree), "", 0);
    if (complete.size_bytes == 0) {
        complete.inodes = complete.inodes != 0 ? complete.inodes : items->len + 16;
        if (!find_size(&writer, fd, &complete, error)) {
            return FALSE;
        }
    }
    return format_and_write(&writer, fd, &complete, error);
}

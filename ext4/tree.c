/* SPDX-License-Identifier: MIT */
/* tree: paths walked as in a chroot, nodes added and replaced, see tree.h. */
#include "ext4/tree.h"

#include <string.h>
#include <sys/stat.h>

#define COMPONENT_MAX     255u
#define SYMLINK_MAX       4095u /* ext4: less than a block */
#define SYMLINKS_FOLLOWED 40u
#define DEPTH_MAX         1000u /* walked recursively here and in write-tree.c */
#define LINKS_MAX         65000u

struct DinvExt4Tree {
    DinvExt4Spool *spool;
    DinvExt4TreeNode *root;
    gint64 time;
    gint64 newest;
};

static void node_unref(gpointer data) {
    DinvExt4TreeNode *node = data;
    if (node->links > 1) {
        node->links--;
        return;
    }
    g_clear_pointer(&node->children, g_hash_table_unref);
    g_clear_pointer(&node->content, dinv_ext4_content_free);
    g_clear_pointer(&node->attributes.xattrs, g_ptr_array_unref);
    g_free(node->target);
    g_free(node);
}

static DinvExt4TreeNode *node_new(const DinvExt4TreeAttributes *attributes) {
    DinvExt4TreeNode *node = g_new0(DinvExt4TreeNode, 1);
    node->attributes = *attributes;
    if (attributes->xattrs != NULL) {
        g_ptr_array_ref(attributes->xattrs);
        dinv_ext4_xattrs_sort(attributes->xattrs);
    }
    if (S_ISDIR(attributes->mode)) {
        node->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_unref);
    }
    return node;
}

DinvExt4Tree *dinv_ext4_tree_new(const char *spool_directory, guint64 limit_bytes, GError **error) {
    DinvExt4Spool *spool = dinv_ext4_spool_new(spool_directory, limit_bytes, error);
    if (spool == NULL) {
        return NULL;
    }
    DinvExt4Tree *tree = g_new0(DinvExt4Tree, 1);
    tree->spool = spool;
    const DinvExt4TreeAttributes attributes = {.mode = S_IFDIR | 0755};
    tree->root = node_new(&attributes);
    tree->root->parent = tree->root;
    return tree;
}

void dinv_ext4_tree_free(DinvExt4Tree *tree) {
    node_unref(tree->root);
    dinv_ext4_spool_free(tree->spool);
    g_free(tree);
}

DinvExt4Spool *dinv_ext4_tree_get_spool(const DinvExt4Tree *tree) {
    return tree->spool;
}

const DinvExt4TreeNode *dinv_ext4_tree_get_root(const DinvExt4Tree *tree) {
    return tree->root;
}

void dinv_ext4_tree_set_time(DinvExt4Tree *tree, gint64 seconds) {
    tree->time = seconds;
}

gint64 dinv_ext4_tree_get_newest(const DinvExt4Tree *tree) {
    return tree->newest;
}

/* Takes `child` over. */
static gboolean insert(DinvExt4TreeNode *directory, const char *name, DinvExt4TreeNode *child,
                       GError **error) {
    if (child->children != NULL) {
        if (directory->depth >= DEPTH_MAX) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                        "directories are nested deeper than %u", DEPTH_MAX);
            node_unref(child);
            return FALSE;
        }
        child->parent = directory;
        child->depth = directory->depth + 1;
    }
    child->links++;
    g_hash_table_replace(directory->children, g_strdup(name), child);
    return TRUE;
}

static DinvExt4TreeNode *tree_make_directory(DinvExt4Tree *tree, DinvExt4TreeNode *directory,
                                             const char *name, GError **error) {
    const DinvExt4TreeAttributes attributes = {.mode = S_IFDIR | 0755, .mtime = tree->time};
    DinvExt4TreeNode *child = node_new(&attributes);
    return insert(directory, name, child, error) ? child : NULL;
}

static gboolean component_is_valid(const char *path, const char *component, GError **error) {
    if (strlen(component) > COMPONENT_MAX) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "\"%.60s...\" has a name longer than %u bytes", path, COMPONENT_MAX);
        return FALSE;
    }
    return TRUE;
}

/* Walks `path` from `start` as the kernel would in a chroot; see tree.h. `followed` counts links.
 * With `create`, missing directories are made; else NULL without an error says that something is
 * missing. */
static DinvExt4TreeNode *resolve_directory(DinvExt4Tree *tree, DinvExt4TreeNode *start,
                                           const char *path, gboolean create, guint *followed,
                                           GError **error) {
    g_auto(GStrv) components = g_strsplit(path, "/", -1);
    DinvExt4TreeNode *node = path[0] == '/' ? tree->root : start;
    for (char **component = components; *component != NULL && node != NULL; component++) {
        const char *name = *component;
        if (name[0] == '\0' || g_str_equal(name, ".")) {
            continue;
        }
        if (g_str_equal(name, "..")) {
            node = node->parent;
            continue;
        }
        DinvExt4TreeNode *child = g_hash_table_lookup(node->children, name);
        if (child == NULL) {
            if (!create || !component_is_valid(path, name, error)) {
                return NULL;
            }
            node = tree_make_directory(tree, node, name, error);
        } else if (child->children != NULL) {
            node = child;
        } else if (child->target != NULL) {
            if (++*followed > SYMLINKS_FOLLOWED) {
                g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                            "\"%.200s\" goes through too many symbolic links", path);
                return NULL;
            }
            node = resolve_directory(tree, node, child->target, create, followed, error);
        } else {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                        "\"%.200s\" goes through \"%s\", which is not a directory", path, name);
            return NULL;
        }
    }
    return node;
}

/* Splits the path of an entry into its directory (walked) and its last name (to be freed); the name
 * is NULL when the path is that of the root. */
static DinvExt4TreeNode *resolve_entry(DinvExt4Tree *tree, const char *path, gboolean create,
                                       char **name, GError **error) {
    g_auto(GStrv) components = g_strsplit(path, "/", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **component = components; *component != NULL; component++) {
        if (g_str_equal(*component, "..")) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_ESCAPES,
                        "\"%.200s\" leads out of the image (\"..\")", path);
            return NULL;
        }
        if ((*component)[0] != '\0' && !g_str_equal(*component, ".")) {
            if (!component_is_valid(path, *component, error)) {
                return NULL;
            }
            g_ptr_array_add(kept, *component);
        }
    }
    *name = NULL;
    if (kept->len == 0) {
        return tree->root;
    }
    const char *last = g_ptr_array_steal_index(kept, kept->len - 1);
    g_ptr_array_add(kept, NULL);
    g_autofree char *directory = g_strjoinv("/", (char **)kept->pdata);
    guint followed = 0;
    DinvExt4TreeNode *parent =
        resolve_directory(tree, tree->root, directory, create, &followed, error);
    if (parent != NULL) {
        *name = g_strdup(last);
    }
    return parent;
}

static void note_time(DinvExt4Tree *tree, const DinvExt4TreeAttributes *attributes) {
    tree->newest = MAX(tree->newest, attributes->mtime);
}

static void update_attributes(DinvExt4TreeNode *node, const DinvExt4TreeAttributes *attributes) {
    GPtrArray *old = node->attributes.xattrs;
    node->attributes = *attributes;
    if (attributes->xattrs != NULL) {
        g_ptr_array_ref(attributes->xattrs);
        dinv_ext4_xattrs_sort(attributes->xattrs);
    }
    g_clear_pointer(&old, g_ptr_array_unref);
}

/* Whether a new entry may take the place of `old`. */
static gboolean may_replace(const DinvExt4TreeNode *old, const char *path, GError **error) {
    if (old != NULL && old->children != NULL && g_hash_table_size(old->children) > 0) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "\"%.200s\" would replace a directory that is not empty", path);
        return FALSE;
    }
    return TRUE;
}

/* Puts a node that is not a directory at `path`; takes it over. */
static gboolean add_leaf(DinvExt4Tree *tree, const char *path, DinvExt4TreeNode *node,
                         GError **error) {
    g_autofree char *name = NULL;
    DinvExt4TreeNode *parent = resolve_entry(tree, path, TRUE, &name, error);
    if (parent == NULL) {
        node_unref(node);
        return FALSE;
    }
    if (name == NULL) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "\"%.200s\" would replace the root directory", path);
        node_unref(node);
        return FALSE;
    }
    if (!may_replace(g_hash_table_lookup(parent->children, name), path, error)) {
        node_unref(node);
        return FALSE;
    }
    note_time(tree, &node->attributes);
    return insert(parent, name, node, error);
}

static gboolean leads_to_directory(DinvExt4Tree *tree, DinvExt4TreeNode *parent,
                                   const DinvExt4TreeNode *link) {
    guint followed = 0;
    return resolve_directory(tree, parent, link->target, FALSE, &followed, NULL) != NULL;
}

static gboolean tree_add_directory(DinvExt4Tree *tree, const char *path,
                                   const DinvExt4TreeAttributes *attributes, GError **error) {
    g_autofree char *name = NULL;
    DinvExt4TreeNode *parent = resolve_entry(tree, path, TRUE, &name, error);
    if (parent == NULL) {
        return FALSE;
    }
    DinvExt4TreeNode *old = name == NULL ? tree->root : g_hash_table_lookup(parent->children, name);
    if (old != NULL && old->target != NULL && leads_to_directory(tree, parent, old)) {
        return TRUE;
    }
    note_time(tree, attributes);
    if (old != NULL && old->children != NULL) {
        update_attributes(old, attributes);
        return TRUE;
    }
    return insert(parent, name, node_new(attributes), error);
}

gboolean dinv_ext4_tree_add(DinvExt4Tree *tree, const char *path,
                            const DinvExt4TreeAttributes *attributes, GError **error) {
    switch (attributes->mode & S_IFMT) {
    case S_IFDIR:
        return tree_add_directory(tree, path, attributes, error);
    case S_IFCHR:
    case S_IFBLK:
        if (attributes->device_major > 0xfff || attributes->device_minor > 0xfffff) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                        "\"%.200s\" is a device with the impossible number %u:%u", path,
                        attributes->device_major, attributes->device_minor);
            return FALSE;
        }
        return add_leaf(tree, path, node_new(attributes), error);
    case S_IFIFO:
        return add_leaf(tree, path, node_new(attributes), error);
    default:
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "\"%.200s\" is %s, which an image cannot hold", path,
                    S_ISSOCK(attributes->mode) ? "a socket" : "a file of an unknown type");
        return FALSE;
    }
}

gboolean dinv_ext4_tree_add_file(DinvExt4Tree *tree, const char *path,
                                 const DinvExt4TreeAttributes *attributes, DinvExt4Content *content,
                                 GError **error) {
    DinvExt4TreeNode *node = node_new(attributes);
    node->content = content;
    return add_leaf(tree, path, node, error);
}

gboolean dinv_ext4_tree_add_symlink(DinvExt4Tree *tree, const char *path,
                                    const DinvExt4TreeAttributes *attributes, const char *target,
                                    GError **error) {
    gsize length = strlen(target);
    if (length == 0 || length > SYMLINK_MAX) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "\"%.200s\" is a symbolic link with a target of %" G_GSIZE_FORMAT
                    " bytes (1-%u)",
                    path, length, SYMLINK_MAX);
        return FALSE;
    }
    DinvExt4TreeNode *node = node_new(attributes);
    node->target = g_strdup(target);
    return add_leaf(tree, path, node, error);
}

static DinvExt4TreeNode *find_node(DinvExt4Tree *tree, const char *path, GError **error) {
    g_autofree char *name = NULL;
    DinvExt4TreeNode *parent = resolve_entry(tree, path, FALSE, &name, error);
    if (parent == NULL || name == NULL) {
        return parent;
    }
    return g_hash_table_lookup(parent->children, name);
}

gboolean dinv_ext4_tree_add_hard_link(DinvExt4Tree *tree, const char *path, const char *target,
                                      GError **error) {
    g_autoptr(GError) local_error = NULL;
    DinvExt4TreeNode *node = find_node(tree, target, &local_error);
    if (local_error != NULL) {
        g_propagate_prefixed_error(error, g_steal_pointer(&local_error),
                                   "\"%.200s\" is a hard link: ", path);
        return FALSE;
    }
    if (node == NULL || node->children != NULL) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "\"%.200s\" is a hard link to \"%.200s\", which is %s", path, target,
                    node == NULL ? "not there" : "a directory");
        return FALSE;
    }
    if (node->links >= LINKS_MAX) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "\"%.200s\" is hard link number %u to a file, more than ext4 can hold", path,
                    node->links + 1);
        return FALSE;
    }
    g_autofree char *name = NULL;
    DinvExt4TreeNode *parent = resolve_entry(tree, path, TRUE, &name, error);
    if (parent == NULL) {
        return FALSE;
    }
    DinvExt4TreeNode *old = name == NULL ? tree->root : g_hash_table_lookup(parent->children, name);
    if (old == node) {
        return TRUE; /* a link to itself */
    }
    return may_replace(old, path, error) && name != NULL && insert(parent, name, node, error);
}

const DinvExt4TreeNode *dinv_ext4_tree_find(DinvExt4Tree *tree, const char *path) {
    return find_node(tree, path, NULL);
}

gboolean dinv_ext4_tree_set_owner(DinvExt4Tree *tree, const char *path, uid_t uid, gid_t gid,
                                  mode_t mode, GError **error) {
    DinvExt4TreeNode *node = find_node(tree, path, NULL);
    if (node == NULL) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                    "\"%s\" is not in the image", path);
        return FALSE;
    }
    node->attributes.uid = uid;
    node->attributes.gid = gid;
    node->attributes.mode = (node->attributes.mode & S_IFMT) | (mode & 07777);
    return TRUE;
}

static void clamp_node(DinvExt4TreeNode *node, gint64 seconds) {
    if (node->attributes.mtime > seconds ||
        (node->attributes.mtime == seconds && node->attributes.mtime_nsec > 0)) {
        node->attributes.mtime = seconds;
        node->attributes.mtime_nsec = 0;
    }
    if (node->children != NULL) {
        GHashTableIter iter;
        gpointer child = NULL;
        g_hash_table_iter_init(&iter, node->children);
        while (g_hash_table_iter_next(&iter, NULL, &child)) {
            clamp_node(child, seconds);
        }
    }
}

void dinv_ext4_tree_clamp_times(DinvExt4Tree *tree, gint64 seconds) {
    clamp_node(tree->root, seconds);
    tree->newest = MIN(tree->newest, seconds);
}

static int tree_compare_names(gconstpointer a, gconstpointer b) {
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

GPtrArray *dinv_ext4_tree_sorted_names(const DinvExt4TreeNode *directory) {
    GPtrArray *names = g_ptr_array_sized_new(g_hash_table_size(directory->children));
    GHashTableIter iter;
    gpointer name = NULL;
    g_hash_table_iter_init(&iter, directory->children);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_ptr_array_add(names, name);
    }
    g_ptr_array_sort(names, tree_compare_names);
    return names;
}

static void digest_number(GChecksum *checksum, guint64 number) {
    guint64 fixed = GUINT64_TO_LE(number);
    g_checksum_update(checksum, (const guchar *)&fixed, sizeof fixed);
}

static void digest_bytes(GChecksum *checksum, const void *bytes, gsize length) {
    digest_number(checksum, length);
    g_checksum_update(checksum, bytes, (gssize)length);
}

/* `seen` gives every node with several names a number at its first name, so that which names belong
 * together is part of the digest. */
static void digest_node(GChecksum *checksum, const DinvExt4TreeNode *node, GHashTable *seen) {
    const DinvExt4TreeAttributes *attributes = &node->attributes;
    if (node->links > 1) {
        gpointer number = g_hash_table_lookup(seen, node);
        digest_number(checksum, GPOINTER_TO_UINT(number));
        if (number != NULL) {
            return;
        }
        g_hash_table_insert(seen, (gpointer)node, GUINT_TO_POINTER(g_hash_table_size(seen) + 1));
    }
    digest_number(checksum, attributes->mode);
    digest_number(checksum, attributes->uid);
    digest_number(checksum, attributes->gid);
    digest_number(checksum, (guint64)attributes->mtime);
    digest_number(checksum, attributes->mtime_nsec);
    digest_number(checksum, ((guint64)attributes->device_major << 32) | attributes->device_minor);
    digest_number(checksum, attributes->xattrs != NULL ? attributes->xattrs->len : 0);
    for (guint i = 0; attributes->xattrs != NULL && i < attributes->xattrs->len; i++) {
        const DinvExt4Xattr *xattr = g_ptr_array_index(attributes->xattrs, i);
        gsize length = 0;
        const void *value = g_bytes_get_data(xattr->value, &length);
        digest_bytes(checksum, xattr->name, strlen(xattr->name));
        digest_bytes(checksum, value, length);
    }
    if (node->target != NULL) {
        digest_bytes(checksum, node->target, strlen(node->target));
    }
    if (node->content != NULL) {
        const GArray *runs = node->content->runs;
        digest_number(checksum, node->content->size);
        digest_bytes(checksum, runs->data, (gsize)runs->len * sizeof(DinvExt4ContentRun));
    }
    if (node->children != NULL) {
        g_autoptr(GPtrArray) names = dinv_ext4_tree_sorted_names(node);
        digest_number(checksum, names->len);
        for (guint i = 0; i < names->len; i++) {
            const char *name = g_ptr_array_index(names, i);
            digest_bytes(checksum, name, strlen(name));
            digest_node(checksum, g_hash_table_lookup(node->children, name), seen);
        }
    }
}

void dinv_ext4_tree_digest(const DinvExt4Tree *tree, guint8 digest[static 32]) {
    g_autoptr(GChecksum) checksum = dinv_ext4_spool_checksum(tree->spool);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    digest_node(checksum, tree->root, seen);
    gsize length = 32;
    g_checksum_get_digest(checksum, digest, &length);
}

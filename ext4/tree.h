/* SPDX-License-Identifier: MIT */
/*
 * The room ext4: ext4 images, made and looked at in this process, without root, mount or loop
 * devices. Layers (populate-tar.h, populate-directory.h) are laid over each other in a tree
 * (tree.h) whose file contents wait in a spool (spool.h); when the tree is complete its size is
 * known, and write-tree.h writes it into a file system that format.h has begun. rootfs.h composes
 * the root image so; create.h makes empty disks; info.h looks at images. Machines, settings and
 * what needs privileges may not enter.
 *
 * tree.h: the tree of one image in memory. A later entry replaces an earlier one of the same path;
 * a directory over a directory keeps the children.
 *
 * Paths are those of archive entries, untrusted: a leading "/" and "." components are dropped, a
 * ".." is refused (DINV_EXT4_IMAGE_ERROR_ESCAPES). Symbolic links in the middle of a path are
 * followed inside the tree alone, as if its root were "/": what Debian's /lib -> usr/lib needs, and
 * `a -> /etc`, `a/b` puts /etc/b into the image and touches no file outside. Directories that are
 * missing on the way are made (0755, root, the time of the tree).
 */
#pragma once

#include <sys/types.h>

#include "ext4/spool.h"
#include "ext4/xattrs.h"

typedef struct DinvExt4Tree DinvExt4Tree;

typedef struct {
    mode_t mode; /* type and permissions */
    uid_t uid;
    gid_t gid;
    gint64 mtime; /* seconds */
    guint32 mtime_nsec;
    guint32 device_major; /* of device nodes */
    guint32 device_minor;
    GPtrArray *xattrs; /* of DinvExt4Xattr*; NULL: none */
} DinvExt4TreeAttributes;

typedef struct DinvExt4TreeNode DinvExt4TreeNode;
/* Read-only outside tree.c. */
struct DinvExt4TreeNode {
    DinvExt4TreeAttributes attributes;
    guint links;              /* names that this node has; 0 for the root */
    DinvExt4TreeNode *parent; /* of a directory; the root's is itself */
    guint depth;              /* of a directory; 0 is the root */
    GHashTable *children;     /* of a directory: name -> DinvExt4TreeNode* */
    DinvExt4Content *content; /* of a regular file */
    char *target;             /* of a symbolic link */
};

/* The root directory is 0755 and 0:0's. `spool_directory` and `limit_bytes` are those of
 * dinv_ext4_spool_new(). */
DinvExt4Tree *dinv_ext4_tree_new(const char *spool_directory, guint64 limit_bytes, GError **error);
void dinv_ext4_tree_free(DinvExt4Tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvExt4Tree, dinv_ext4_tree_free)

DinvExt4Spool *dinv_ext4_tree_get_spool(const DinvExt4Tree *tree);
const DinvExt4TreeNode *dinv_ext4_tree_get_root(const DinvExt4Tree *tree);

/* The time of directories made on the way, 0 until set. */
void dinv_ext4_tree_set_time(DinvExt4Tree *tree, gint64 seconds);
/* The newest modification time that was added. */
gint64 dinv_ext4_tree_get_newest(const DinvExt4Tree *tree);

/* A directory, device node or fifo. The attributes are copied, the xattrs referenced. A directory
 * over a symbolic link to a directory leaves both as they are. */
gboolean dinv_ext4_tree_add(DinvExt4Tree *tree, const char *path,
                            const DinvExt4TreeAttributes *attributes,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A regular file; takes `content` over, also on failure. */
gboolean dinv_ext4_tree_add_file(DinvExt4Tree *tree, const char *path,
                                 const DinvExt4TreeAttributes *attributes, DinvExt4Content *content,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean dinv_ext4_tree_add_symlink(DinvExt4Tree *tree, const char *path,
                                    const DinvExt4TreeAttributes *attributes, const char *target,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Another name for what `target` names; that must be there and not be a directory. */
gboolean dinv_ext4_tree_add_hard_link(DinvExt4Tree *tree, const char *path, const char *target,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL if there is no such path; the last component is not followed. */
const DinvExt4TreeNode *dinv_ext4_tree_find(DinvExt4Tree *tree, const char *path);
/* Owner and permissions of a path that is there: for a tree staged without the right to chown. */
gboolean dinv_ext4_tree_set_owner(DinvExt4Tree *tree, const char *path, uid_t uid, gid_t gid,
                                  mode_t mode, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Modification times later than `seconds` become it. */
void dinv_ext4_tree_clamp_times(DinvExt4Tree *tree, gint64 seconds);

/* The names of a directory's children, sorted by bytes. The array is the caller's, its strings are
 * borrowed. */
GPtrArray *dinv_ext4_tree_sorted_names(const DinvExt4TreeNode *directory);

/* SHA-256 over everything in the tree: the same for the same sequence of additions. */
void dinv_ext4_tree_digest(const DinvExt4Tree *tree, guint8 digest[static 32]);

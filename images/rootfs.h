/* SPDX-License-Identifier: MIT */
/*
 * rootfs: composes the root image: layers laid over each other, files put in, one read-only ext4 of
 * the smallest size. The same inputs give the same bytes. No input is changed.
 */
#pragma once

#include "images/error.h"

typedef struct {
    const char *path;          /* a tar archive (see populate-tar.h) or a directory */
    const char *sha512;        /* of the archive, in hex; NULL: not checked */
    gboolean force_root_owner; /* everything in it belongs to 0:0 */
} DinvRootfsLayer;

typedef enum {
    DINV_ROOTFS_FILE,      /* `value` is a file of this machine */
    DINV_ROOTFS_TEXT,      /* `value` is the content */
    DINV_ROOTFS_SYMLINK,   /* `value` is the target */
    DINV_ROOTFS_DIRECTORY, /* no `value`; one that is there keeps what is in it, and its mode */
    DINV_ROOTFS_OWNER,     /* gives what is there another owner and mode; no `value` */
} DinvRootfsEntryKind;

typedef struct {
    const char *path; /* in the image */
    const char *value;
    DinvRootfsEntryKind kind;
    mode_t mode; /* permissions */
    uid_t uid;
    gid_t gid;
} DinvRootfsEntry;

typedef struct {
    const DinvRootfsLayer *layers; /* the lowest first */
    gsize layer_count;
    const DinvRootfsEntry *entries; /* put in above the layers, in order */
    gsize entry_count;
    const char *output; /* replaced when it exists; never left half-written */
    /* Nothing in the image is later than this, and what is put in has this time. 0: the newest time
     * in the first layer, so that the clock has no part in it. */
    gint64 timestamp;
} DinvRootfsRecipe;

/* Also makes what a guest needs to mount things on: /proc /sys /dev /run /tmp /mnt /etc /root
 * /var/lib/docker. Blocks for seconds. */
gboolean dinv_rootfs_build(const DinvRootfsRecipe *recipe,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

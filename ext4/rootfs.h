/* SPDX-License-Identifier: MIT */
/*
 * rootfs: composes the root image: layers laid over each other, files put in, one read-only ext4 of
 * the smallest size. The same inputs give the same bytes. No input is changed.
 */
#pragma once

#include "ext4/error.h"

typedef struct {
    const char *path;          /* a tar archive (see populate-tar.h) or a directory */
    const char *sha512;        /* of the archive, in hex; NULL: not checked */
    gboolean force_root_owner; /* everything in it belongs to 0:0 */
} DinvExt4RootfsLayer;

typedef enum {
    DINV_EXT4_ROOTFS_FILE,      /* `value` is a file of this machine */
    DINV_EXT4_ROOTFS_TEXT,      /* `value` is the content */
    DINV_EXT4_ROOTFS_SYMLINK,   /* `value` is the target */
    DINV_EXT4_ROOTFS_DIRECTORY, /* no `value`; one that is there keeps its mode and what is in it */
    DINV_EXT4_ROOTFS_OWNER,     /* gives what is there another owner and mode; no `value` */
} DinvExt4RootfsEntryKind;

typedef struct {
    const char *path; /* in the image */
    const char *value;
    DinvExt4RootfsEntryKind kind;
    mode_t mode; /* permissions */
    uid_t uid;
    gid_t gid;
} DinvExt4RootfsEntry;

typedef struct {
    const DinvExt4RootfsLayer *layers; /* the lowest first */
    gsize layer_count;
    const DinvExt4RootfsEntry *entries; /* put in above the layers, in order */
    gsize entry_count;
    const char *output; /* replaced when it exists; never left half-written */
    /* Nothing in the image is later than this, and what is put in has this time. 0: the newest time
     * in the first layer, so that the clock has no part in it. */
    gint64 timestamp;
} DinvExt4RootfsRecipe;

/* Also makes what a guest needs to mount things on: /proc /sys /dev /run /tmp /mnt /etc /root
 * /var/lib/docker. Blocks for seconds. */
gboolean dinv_ext4_rootfs_build(const DinvExt4RootfsRecipe *recipe,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SPDX-License-Identifier: MIT */
/*
 * info: what an image file is, from its superblock alone (2 KiB are read). The file is untrusted.
 */
#pragma once

#include "images/error.h"

/* The root image has the volume label "dinv-root-N", N being the version of its format. */
#define DINV_ROOTFS_VERSION      1u
#define DINV_ROOTFS_LABEL_PREFIX "dinv-root-"
#define DINV_DATA_LABEL          "dinv-data"
#define DINV_VOLUME_LABEL        "dinv-volume"

typedef enum {
    DINV_IMAGE_OTHER, /* an ext4 file system that is not one of ours */
    DINV_IMAGE_ROOTFS,
    DINV_IMAGE_DATA,
    DINV_IMAGE_VOLUME,
} DinvImageKind;

typedef struct {
    DinvImageKind kind;
    guint rootfs_version; /* of a DINV_IMAGE_ROOTFS */
    char label[17];       /* bytes that do not print are shown as "?" */
    char uuid[37];
    guint64 filesystem_bytes; /* size of the file system */
    guint64 file_bytes;       /* length of the file */
    guint64 allocated_bytes;  /* what the file takes on its disk */
    guint64 free_bytes;       /* as last written by whoever mounted it */
    gint64 made;              /* seconds since the epoch */
    gboolean truncated;       /* file_bytes < filesystem_bytes */
    gboolean clean;           /* unmounted in order, no errors noted */
    gboolean has_errors;      /* the kernel noted errors; e2fsck is due */
    gboolean needs_recovery;  /* the journal is to be replayed: normal after a crash */
    gboolean has_journal;
} DinvImageInfo;

/* `info` is set only on success. A file that is no ext4, or whose superblock is damaged, is
 * DINV_IMAGE_ERROR_NOT_EXT4; a truncated one is not an error here. */
gboolean dinv_image_read_info(const char *path, DinvImageInfo *info,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same for an open file (regular or block device); `name` is for messages. */
gboolean dinv_image_read_info_fd(int fd, const char *name, DinvImageInfo *info,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether `path` can be used as root image, or as a disk of that kind: the right kind and
 * version, not truncated. The error says what is wrong and what to do. `info` may be NULL. */
gboolean dinv_image_check_rootfs(const char *path, DinvImageInfo *info,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean dinv_image_check_disk(const char *path, DinvImageKind kind, DinvImageInfo *info,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

const char *dinv_image_kind_text(DinvImageKind kind);

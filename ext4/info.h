/* SPDX-License-Identifier: MIT */
/*
 * info: what an image file is, from its superblock alone (2 KiB are read). The file is untrusted.
 */
#pragma once

#include "ext4/error.h"

/* The root image has the volume label "dinv-root-N", N being the version of its format. */
#define DINV_EXT4_ROOTFS_VERSION      1u
#define DINV_EXT4_ROOTFS_LABEL_PREFIX "dinv-root-"

typedef enum {
    DINV_EXT4_IMAGE_OTHER, /* an ext4 file system that is not one of ours */
    DINV_EXT4_IMAGE_ROOTFS,
    DINV_EXT4_IMAGE_DATA,
    DINV_EXT4_IMAGE_VOLUME,
} DinvExt4ImageKind;

typedef struct {
    DinvExt4ImageKind kind;
    guint rootfs_version; /* of a DINV_EXT4_IMAGE_ROOTFS */
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
} DinvExt4ImageInfo;

/* `info` is set only on success. A file that is no ext4, or whose superblock is damaged, is
 * DINV_EXT4_IMAGE_ERROR_NOT_EXT4; a truncated one is not an error here. */
gboolean dinv_ext4_image_read_info(const char *path, DinvExt4ImageInfo *info,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether `path` can be used as root image, or as a disk of that kind: the right kind and
 * version, not truncated. The error says what is wrong and what to do. `info` may be NULL. */
gboolean dinv_ext4_image_check_rootfs(const char *path, DinvExt4ImageInfo *info,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean dinv_ext4_image_check_disk(const char *path, DinvExt4ImageKind kind,
                                    DinvExt4ImageInfo *info,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

const char *dinv_ext4_image_kind_text(DinvExt4ImageKind kind);

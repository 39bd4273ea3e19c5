/* SPDX-License-Identifier: MIT */
/*
 * error: the error domain of the room, and texts for its messages. They are one sentence, fit to
 * show to a person.
 */
#pragma once

#include <gio/gio.h>

typedef enum {
    DINV_EXT4_IMAGE_ERROR_FAILED,      /* none of the below */
    DINV_EXT4_IMAGE_ERROR_IO,          /* a system call on a file failed */
    DINV_EXT4_IMAGE_ERROR_EXISTS,      /* the target is there already */
    DINV_EXT4_IMAGE_ERROR_FULL,        /* the content does not fit into the size asked for */
    DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, /* an archive is damaged, cut off, or contradicts itself */
    DINV_EXT4_IMAGE_ERROR_ESCAPES,     /* a name leads out of the image */
    DINV_EXT4_IMAGE_ERROR_UNSUPPORTED, /* a kind of file or a size that an image cannot hold */
    DINV_EXT4_IMAGE_ERROR_NOT_EXT4,    /* not an ext4 image, or its superblock is damaged */
    DINV_EXT4_IMAGE_ERROR_TRUNCATED,   /* the file is shorter than the file system in it */
    DINV_EXT4_IMAGE_ERROR_VERSION,     /* another format version, or another purpose */
} DinvExt4ImageError;

#define DINV_EXT4_IMAGE_ERROR dinv_ext4_image_error_quark()
GQuark dinv_ext4_image_error_quark(void);

/* Sets `error` to DINV_EXT4_IMAGE_ERROR_IO with "FORMAT…: strerror(error_number)". */
void dinv_ext4_image_set_errno(GError **error, int error_number, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* "100 MiB", "1.5 GiB", "17 bytes". The caller frees it. */
char *dinv_ext4_image_size_text(guint64 bytes);

/* SPDX-License-Identifier: MIT */
/* The error domain of the images room. Messages are one sentence, fit to show to a person. */
#pragma once

#include <gio/gio.h>

typedef enum {
    DINV_IMAGE_ERROR_FAILED,      /* none of the below */
    DINV_IMAGE_ERROR_IO,          /* a system call on a file failed */
    DINV_IMAGE_ERROR_EXISTS,      /* the target is there already */
    DINV_IMAGE_ERROR_FULL,        /* the content does not fit into the size asked for */
    DINV_IMAGE_ERROR_BAD_ARCHIVE, /* an archive is damaged, cut off, or contradicts itself */
    DINV_IMAGE_ERROR_ESCAPES,     /* a name leads out of the image */
    DINV_IMAGE_ERROR_UNSUPPORTED, /* a kind of file or a size that an image cannot hold */
    DINV_IMAGE_ERROR_NOT_EXT4,    /* the file is not an ext4 image, or its superblock is damaged */
    DINV_IMAGE_ERROR_TRUNCATED,   /* the file is shorter than the file system in it */
    DINV_IMAGE_ERROR_VERSION,     /* an image of another format version, or of another purpose */
} DinvImageError;

#define DINV_IMAGE_ERROR dinv_image_error_quark()
GQuark dinv_image_error_quark(void);

/* Sets `error` to DINV_IMAGE_ERROR_IO with "FORMAT…: strerror(error_number)". */
void dinv_image_set_errno(GError **error, int error_number, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* "100 MiB", "1.5 GiB", "17 bytes". The caller frees it. */
char *dinv_image_size_text(guint64 bytes);

/* SPDX-License-Identifier: MIT */
/*
 * The state directory: its lock, the data disk and the places of other files in it.
 */
#pragma once

#include "launcher/config.h"

#define DINV_DISK_ERROR (dinv_disk_error_quark())
GQuark dinv_disk_error_quark(void);

typedef enum {
    DINV_DISK_ERROR_FAILED, /* the directory or a file in it cannot be made, written or read */
    DINV_DISK_ERROR_IN_USE, /* another dinv holds the directory */
    DINV_DISK_ERROR_IMAGE,  /* data.img is not a data disk, or damaged; it is left as it is */
} DinvDiskError;

typedef struct DinvDisk DinvDisk;

/* What there is before anything is made. */
typedef struct {
    gboolean exists;       /* the state directory is there */
    gboolean image_exists; /* and data.img in it */
    guint64 image_bytes;   /* its size */
    guint64 free_bytes;    /* on the file system that holds, or will hold, the directory */
} DinvDiskState;

/* Looks whether dinv_disk_open() would succeed, and changes nothing. Appends sentences (char*)
 * about what is doubtful to `warnings`. */
gboolean dinv_disk_check(const DinvConfig *config, DinvDiskState *state, GPtrArray *warnings,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the state directory if it is missing, locks it until dinv_disk_free(), makes data.img if it
 * is missing and extends it if DINV_DISK_SIZE is larger (the guest grows the file system). A
 * failure leaves no half-made data.img. Blocks for milliseconds. Call it when all else has been
 * checked. */
DinvDisk *dinv_disk_open(const DinvConfig *config, GPtrArray *warnings,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Paths, owned by the disk. */
const char *dinv_disk_get_data_image(const DinvDisk *disk);
const char *dinv_disk_get_console_log(const DinvDisk *disk);

/* Gives the lock up; the files stay. */
void dinv_disk_free(DinvDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvDisk, dinv_disk_free)

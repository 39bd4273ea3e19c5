/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/state: the state directory, that is its lock and the disks in it. Who serves
 * these to a machine, and what is on them beyond "dinv made it, and it is whole", may not enter;
 * nor may what others keep in the directory while dinv runs.
 */
#pragma once

#include "launcher/settings/config.h"

#define DINV_STATE_ERROR (dinv_state_error_quark())
GQuark dinv_state_error_quark(void);

typedef enum {
    DINV_STATE_ERROR_FAILED, /* the directory or a file in it cannot be made, written or read */
    DINV_STATE_ERROR_IN_USE, /* another dinv holds the directory */
    DINV_STATE_ERROR_IMAGE,  /* what has a disk's name is somebody else's; it is left as it is */
    /* A disk of ours is damaged: dinv_state_open() has kept it aside under another name, or has
     * said why it could not. Nothing is ever overwritten. */
    DINV_STATE_ERROR_DAMAGED,
} DinvStateError;

typedef struct DinvState DinvState;

typedef enum {
    DINV_STATE_DISK_DATA,   /* data.img, for the engine */
    DINV_STATE_DISK_VOLUME, /* volume.img, the private volume, if DINV_VOLUME_PATH is set */
} DinvStateDisk;
#define DINV_STATE_DISK_KINDS 2

/* What there is before anything is made. */
typedef struct {
    gboolean exists;       /* the state directory is there */
    gboolean image_exists; /* and data.img is in it */
    guint64 image_bytes;   /* its size */
    guint64 free_bytes;    /* on the file system that holds, or will hold, the directory */
} DinvStateFindings;

/* Looks whether dinv_state_open() would succeed, and changes nothing. Appends sentences (char*)
 * about what is doubtful to `warnings`. Errors are DINV_STATE_ERROR. Blocks for file I/O. */
gboolean dinv_state_check(const DinvConfig *config, DinvStateFindings *state, GPtrArray *warnings,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the state directory if it is missing, locks it until dinv_state_free(), makes the images if
 * they are missing and extends them if the settings ask for more (the guest grows the file
 * systems). A failure leaves no half-made image. Blocks for milliseconds. Call it when all else has
 * been checked: it gives none of the warnings of dinv_state_check(). `config` is borrowed. */
DinvState *dinv_state_open(const DinvConfig *config, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Gives an image that turned out to be damaged another name, never that of another file, and
 * returns it, transfer full. Nothing may use the image any more. */
char *dinv_state_keep_aside(DinvState *disk, DinvStateDisk kind,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A disk's path, borrowed until dinv_state_free(); NULL for one that is not wanted. */
const char *dinv_state_get_image(const DinvState *disk, DinvStateDisk kind);

/* Gives the lock up; the files stay. NULL is ignored. */
void dinv_state_free(DinvState *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvState, dinv_state_free)

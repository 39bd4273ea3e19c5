/* SPDX-License-Identifier: MIT */
/*
 * The file of one disk of the guest in the state directory. Of no use outside the room: directory.c
 * has the directory locked while any of it is changed. All functions block for file I/O.
 */
#pragma once

#include "ext4/info.h"
#include "launcher/state/directory.h"

typedef struct {
    const char *name; /* of the file, such as "data.img" */
    DinvExt4ImageKind kind;
    guint64 bytes;            /* the size that is asked for */
    const char *size_setting; /* by this setting */
} DinvStateImage;

/* The image of DinvStateDisk, as `config` has it. */
DinvStateImage dinv_state_image_of(DinvStateDisk kind, const DinvConfig *config);

/* Looks at the file, which may be missing: *bytes is its size, 0 if it is. DINV_STATE_ERROR_DAMAGED
 * when it is to be kept aside, which is so only for what is in a directory that is dinv's
 * (`is_ours`); elsewhere a file that is no disk of dinv's is somebody else's:
 * DINV_STATE_ERROR_IMAGE. */
gboolean dinv_state_image_look(const char *state_dir, const DinvStateImage *image, gboolean is_ours,
                               guint64 *bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the file if `bytes` is 0, or extends it to what is asked for. */
gboolean dinv_state_image_provide(const char *state_dir, const DinvStateImage *image, guint64 bytes,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Renames the file to NAME.damaged-DATE, never over another file; the new name, to be freed. */
char *dinv_state_image_keep_aside(const char *state_dir, const DinvStateImage *image,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Appends a sentence about each file that was kept aside. */
void dinv_state_image_list_kept(const char *state_dir, GPtrArray *warnings);

/* Sets DINV_STATE_ERROR_FAILED, "DINV_STATE_DIR: MESSAGE: strerror"; always FALSE. */
gboolean dinv_state_fail(GError **error, int error_number, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* SPDX-License-Identifier: MIT */
/*
 * mount-files: single files for the guest. A 9p server exports directories only, and the directory
 * of a file would show its neighbours too; a hard link to a file that is itself a mount does not
 * exist. So the guest gets copies, in a directory of their own that is exported read-only, and they
 * are written anew when the file changes.
 */
#pragma once

#include <glib.h>

typedef struct DinvMountFiles DinvMountFiles;

/* Copies those of `mounts` (of DinvMountSpec*) that are files to STATE_DIR/files/INDEX, with mode
 * and, where this process may, owner, and follows them from then on in the default main context:
 * content and mode, a fifth of a second after a change. The state directory must be locked: what
 * a killed launcher left there is removed. TRUE with *files NULL when there are no files. FALSE when
 * one cannot be copied or the directory cannot be made; *files is untouched then. */
gboolean dinv_mount_files_start(const char *state_dir, const GPtrArray *mounts,
                                DinvMountFiles **files, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Borrowed until free; NULL for NULL. */
const char *dinv_mount_files_get_directory(const DinvMountFiles *files);

/* Removes the copies. NULL is ignored. */
void dinv_mount_files_free(DinvMountFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMountFiles, dinv_mount_files_free)

/* SPDX-License-Identifier: MIT */
/*
 * Single files for the guest. A 9p server exports directories only, and the directory of a file
 * would show its neighbours too; a hard link to a file that is itself a mount does not exist. So
 * the guest gets copies (copy.h), in a directory of their own that is exported read-only, and they
 * are written anew when the file changes. Copying is done in threads (update.h): the main loop
 * never waits for a file.
 */
#pragma once

#include <glib.h>

typedef struct DinvMountFiles DinvMountFiles;

/* Copies those of `mounts` (of DinvMountSpec*) that are files to STATE_DIR/files/INDEX, with mode
 * and, where this process may, owner, and follows them from then on in the default main context:
 * content and mode, a fifth of a second after a change. At most four files at a time are read, into
 * memory. The state directory must be locked: what a killed launcher left there is removed. TRUE
 * with *files NULL when there are no files.
 *
 * Blocks until all are copied. FALSE when one cannot be copied, when the directory cannot be made,
 * when no file has got ready for 30 seconds, or, with G_IO_ERROR_CANCELLED, as soon as `stop_fd`
 * (-1: none) can be read; *files is untouched then. */
gboolean dinv_mount_files_start(const char *state_dir, const GPtrArray *mounts, int stop_fd,
                                DinvMountFiles **files, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Borrowed until free; NULL for NULL. */
const char *dinv_mount_files_get_directory(const DinvMountFiles *files);

/* Removes the copies. Waits up to a second for copying that is under way; a file system that does
 * not answer is left alone then, and the log says of which file. NULL is ignored. */
void dinv_mount_files_free(DinvMountFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMountFiles, dinv_mount_files_free)

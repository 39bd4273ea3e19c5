/* SPDX-License-Identifier: MIT */
/*
 * One update of a copy (copy.h) in a thread of its own, because the file may be on a network whose
 * server is gone: then the thread hangs, and nobody but it.
 */
#pragma once

#include "launcher/base/file-watch.h"
#include "launcher/mounts/copy.h"

typedef struct DinvMountUpdate DinvMountUpdate;

/* `watch_error`: why the file is not watched now, an errno, or 0. `error` is borrowed, and NULL if
 * the copy is DONE. */
typedef void (*DinvMountUpdated)(DinvMountCopyResult result, const GError *error, int watch_error,
                                 gpointer user);

/* Starts a thread that watches the file anew, so that no later change goes unseen, and then updates
 * the copy. The callback comes once, from `context` (NULL: the default one), which may be iterated
 * by the calling thread only. Takes `watched`. NULL with a G_IO_ERROR if no thread can be started.
 * Does not block. */
DinvMountUpdate *dinv_mount_update_start(DinvMountCopy *copy, DinvFileWatchPath *watched,
                                         GMainContext *context, DinvMountUpdated callback,
                                         gpointer user, GError **error);

/* Waits until `monotonic_us` for the thread's end; FALSE if it still runs then. No callback comes
 * from within. */
gboolean dinv_mount_update_wait(DinvMountUpdate *update, gint64 monotonic_us);

/* In the callback, or earlier: then it never comes, and a thread that still runs ends by itself;
 * all that it touches is its own. Does not block. NULL is ignored. */
void dinv_mount_update_free(DinvMountUpdate *update);

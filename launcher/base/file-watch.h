/* SPDX-License-Identifier: MIT */
/*
 * Watches single files, be they rewritten in place, replaced, or bind mounts (of which a watch on
 * their directory, as GFileMonitor has it, would see nothing): inotify on each file itself.
 */
#pragma once

#include <glib.h>

typedef struct DinvFileWatch DinvFileWatch;

/* Calls back a fifth of a second after one of `paths` (NULL-terminated), that at `index`, was
 * written or replaced, or may have been; for a file that is written to all the time, as often and
 * no more. By then it is watched anew, so that what changes during the callback is told again.
 * Works in the default GMainContext; the callback may not free the watch. */
DinvFileWatch *dinv_file_watch_new(const char *const *paths,
                                   void (*changed)(guint index, gpointer user), gpointer user);
void dinv_file_watch_free(DinvFileWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvFileWatch, dinv_file_watch_free)

/* Watches the files that are there by now under these paths; one that was missing is not told. */
void dinv_file_watch_renew(DinvFileWatch *watch);

/* As dinv_file_watch_new(), for paths whose file system may hang (a network's, whose server is
 * gone): looks no path up by itself, neither at first nor before the callback. The owner does both,
 * in a thread of its own, by dinv_file_watch_path_renew(), and only then reads the file. */
DinvFileWatch *dinv_file_watch_new_passive(const char *const *paths,
                                           void (*changed)(guint index, gpointer user),
                                           gpointer user);

/* One of the watch's paths, for a thread; may be used when the watch is gone. Transfer full. */
typedef struct DinvFileWatchPath DinvFileWatchPath;
DinvFileWatchPath *dinv_file_watch_get_path(const DinvFileWatch *watch, guint index);
void dinv_file_watch_path_unref(DinvFileWatchPath *path);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvFileWatchPath, dinv_file_watch_path_unref)

/* Watches the file that is there by now; 0, or the errno why that cannot be (ENOENT: no file). From
 * any thread, one at a time for each path; blocks for as long as the path's file system does. */
int dinv_file_watch_path_renew(DinvFileWatchPath *path);

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

/* Why the file is not watched: ENOENT while it is not there, or what the kernel said; 0 if it is.
 */
int dinv_file_watch_get_error(const DinvFileWatch *watch, guint index);

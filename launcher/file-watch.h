/* SPDX-License-Identifier: MIT */
/*
 * Watches single files, be they rewritten in place, replaced, or bind mounts (of which a watch on
 * their directory would see nothing): inotify on each file itself.
 */
#pragma once

#include <glib.h>

typedef struct DinvFileWatch DinvFileWatch;

/* Calls back a moment after one of `paths` (NULL-terminated) was written or replaced, or may have
 * been. Files that do not exist are not watched. Works in the default GMainContext. NULL if the
 * kernel gives no inotify. */
DinvFileWatch *dinv_file_watch_new(const char *const *paths, void (*changed)(gpointer user),
                                   gpointer user);
void dinv_file_watch_free(DinvFileWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvFileWatch, dinv_file_watch_free)

/* Watches the files that are there by now. */
void dinv_file_watch_renew(DinvFileWatch *watch);

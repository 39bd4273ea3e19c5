/* SPDX-License-Identifier: MIT */
#include "launcher/file-watch.h"

#include <glib-unix.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A file that is rewritten is empty for a moment. */
#define SETTLE_MS 100u

struct DinvFileWatch {
    GStrv paths;
    void (*changed)(gpointer user);
    gpointer user;
    int fd;
    guint source;
    guint settle_source;
};

void dinv_file_watch_renew(DinvFileWatch *watch) {
    for (guint i = 0; watch->paths[i] != NULL; i++) {
        /* A file that is watched already stays so. */
        (void)inotify_add_watch(watch->fd, watch->paths[i],
                                IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF);
    }
}

static gboolean on_settled(gpointer user) {
    DinvFileWatch *watch = user;
    watch->settle_source = 0;
    dinv_file_watch_renew(watch);
    watch->changed(watch->user);
    return G_SOURCE_REMOVE;
}

/* Which file it was is all the same: the owner looks. */
static gboolean on_event(int fd, GIOCondition condition, gpointer user) {
    DinvFileWatch *watch = user;
    char events[4096];
    (void)condition;
    if (read(fd, events, sizeof events) > 0 && watch->settle_source == 0) {
        watch->settle_source = g_timeout_add(SETTLE_MS, on_settled, watch);
    }
    return G_SOURCE_CONTINUE;
}

DinvFileWatch *dinv_file_watch_new(const char *const *paths, void (*changed)(gpointer user),
                                   gpointer user) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0) {
        return NULL;
    }
    DinvFileWatch *watch = g_new0(DinvFileWatch, 1);
    watch->paths = g_strdupv((GStrv)paths);
    watch->changed = changed;
    watch->user = user;
    watch->fd = fd;
    watch->source = g_unix_fd_add(fd, G_IO_IN, on_event, watch);
    dinv_file_watch_renew(watch);
    return watch;
}

void dinv_file_watch_free(DinvFileWatch *watch) {
    if (watch == NULL) {
        return;
    }
    g_clear_handle_id(&watch->source, g_source_remove);
    g_clear_handle_id(&watch->settle_source, g_source_remove);
    (void)close(watch->fd);
    g_strfreev(watch->paths);
    g_free(watch);
}

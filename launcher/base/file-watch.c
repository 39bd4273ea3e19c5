/* SPDX-License-Identifier: MIT */
/* One inotify descriptor, with a watch on the inode of each file that is renewed when it
 * changes. */
#include "launcher/base/file-watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A file that is rewritten is empty for a moment. */
#define SETTLE_MS 200u

typedef struct {
    char *path;
    int descriptor; /* of inotify's watch, or a negative errno */
    gboolean changed;
} File;

struct DinvFileWatch {
    GArray *files; /* of File */
    void (*changed)(guint index, gpointer user);
    gpointer user;
    int fd; /* of inotify, or a negative errno */
    guint source;
    guint settle_source;
};

static File *get_file(const DinvFileWatch *watch, guint index) {
    return &g_array_index(watch->files, File, index);
}

static gboolean is_in_use(const DinvFileWatch *watch, int descriptor) {
    for (guint i = 0; i < watch->files->len; i++) {
        if (get_file(watch, i)->descriptor == descriptor) {
            return TRUE;
        }
    }
    return FALSE;
}

static void renew_file(DinvFileWatch *watch, File *file) {
    const guint32 mask = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;
    int before = file->descriptor;
    if (watch->fd < 0) {
        file->descriptor = watch->fd;
        return;
    }
    /* inotify gives the descriptor from before if the path still leads to the same file, and one
     * descriptor for two paths that lead to one file. */
    int now = inotify_add_watch(watch->fd, file->path, mask);
    file->descriptor = now >= 0 ? now : -errno;
    if (before >= 0 && !is_in_use(watch, before)) {
        (void)inotify_rm_watch(watch->fd, before); /* EINVAL: it went with its inode */
    }
}

void dinv_file_watch_renew(DinvFileWatch *watch) {
    for (guint i = 0; i < watch->files->len; i++) {
        renew_file(watch, get_file(watch, i));
    }
}

int dinv_file_watch_get_error(const DinvFileWatch *watch, guint index) {
    int descriptor = get_file(watch, index)->descriptor;
    return descriptor < 0 ? -descriptor : 0;
}

static gboolean file_watch_on_settled(gpointer user) {
    DinvFileWatch *watch = user;
    watch->settle_source = 0;
    for (guint i = 0; i < watch->files->len; i++) {
        File *file = get_file(watch, i);
        if (file->changed) {
            file->changed = FALSE;
            renew_file(watch, file);
            watch->changed(i, watch->user);
        }
    }
    return G_SOURCE_REMOVE;
}

static void mark_changed(DinvFileWatch *watch, const struct inotify_event *event) {
    for (guint i = 0; i < watch->files->len; i++) {
        File *file = get_file(watch, i);
        /* After an overflow any may have changed. */
        if (file->descriptor == event->wd || (event->mask & IN_Q_OVERFLOW) != 0) {
            file->changed = TRUE;
            if (watch->settle_source == 0) {
                watch->settle_source = g_timeout_add(SETTLE_MS, file_watch_on_settled, watch);
            }
        }
    }
}

static gboolean file_watch_on_events(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    char bytes[4096];
    gssize length = read(fd, bytes, sizeof bytes);
    for (gssize at = 0; at + (gssize)sizeof(struct inotify_event) <= length;) {
        struct inotify_event event;
        memcpy(&event, bytes + at, sizeof event);
        mark_changed(user, &event);
        at += (gssize)(sizeof event + event.len);
    }
    return G_SOURCE_CONTINUE;
}

static void watched_file_clear(gpointer data) {
    g_free(((File *)data)->path);
}

DinvFileWatch *dinv_file_watch_new(const char *const *paths,
                                   void (*changed)(guint index, gpointer user), gpointer user) {
    DinvFileWatch *watch = g_new0(DinvFileWatch, 1);
    watch->files = g_array_new(FALSE, FALSE, sizeof(File));
    g_array_set_clear_func(watch->files, watched_file_clear);
    watch->changed = changed;
    watch->user = user;
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0) {
        watch->fd = -errno;
    } else {
        watch->source = g_unix_fd_add(watch->fd, G_IO_IN, file_watch_on_events, watch);
    }
    for (guint i = 0; paths[i] != NULL; i++) {
        const File file = {.path = g_strdup(paths[i]), .descriptor = -ENOENT};
        g_array_append_val(watch->files, file);
    }
    dinv_file_watch_renew(watch);
    return watch;
}

void dinv_file_watch_free(DinvFileWatch *watch) {
    if (watch == NULL) {
        return;
    }
    g_clear_handle_id(&watch->source, g_source_remove);
    g_clear_handle_id(&watch->settle_source, g_source_remove);
    if (watch->fd >= 0) {
        (void)close(watch->fd);
    }
    g_array_unref(watch->files);
    g_free(watch);
}

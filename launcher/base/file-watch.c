/* SPDX-License-Identifier: MIT */
/*
 * One inotify descriptor, with a watch on the inode of each file that is renewed when it changes.
 * What looks a path up may block, and is kept apart from what the loop does, so that a thread can
 * do it.
 */
#include "launcher/base/file-watch.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A file that is rewritten is empty for a moment. */
#define SETTLE_MS 200u

/* The inotify instance and what it watches. Threads that look paths up share it with the loop, and
 * may outlive the watch. The lock is never held during what may block. */
typedef struct {
    gatomicrefcount references;
    GMutex lock;
    GPtrArray *paths; /* of DinvFileWatchPath*, borrowed: each removes itself */
    int fd;           /* or a negative errno */
} Inotify;

struct DinvFileWatchPath {
    gatomicrefcount references;
    Inotify *inotify;
    char *path;
    int descriptor;   /* of inotify's watch, or a negative errno; under the lock */
    gboolean changed; /* the loop's */
};

struct DinvFileWatch {
    Inotify *inotify;
    GPtrArray *paths; /* of DinvFileWatchPath* */
    void (*changed)(guint index, gpointer user);
    gpointer user;
    gboolean is_passive; /* the owner looks paths up */
    guint source;
    guint settle_source;
};

/* --- Shared with threads --- */

static Inotify *inotify_new(void) {
    Inotify *inotify = g_new0(Inotify, 1);
    g_atomic_ref_count_init(&inotify->references);
    g_mutex_init(&inotify->lock);
    inotify->paths = g_ptr_array_new();
    inotify->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (inotify->fd < 0) {
        inotify->fd = -errno;
    }
    return inotify;
}

static void inotify_unref(Inotify *inotify) {
    if (!g_atomic_ref_count_dec(&inotify->references)) {
        return;
    }
    if (inotify->fd >= 0) {
        (void)close(inotify->fd);
    }
    g_ptr_array_unref(inotify->paths);
    g_mutex_clear(&inotify->lock);
    g_free(inotify);
}

static DinvFileWatchPath *path_new(Inotify *inotify, const char *text) {
    DinvFileWatchPath *path = g_new0(DinvFileWatchPath, 1);
    g_atomic_ref_count_init(&path->references);
    g_atomic_ref_count_inc(&inotify->references);
    path->inotify = inotify;
    path->path = g_strdup(text);
    path->descriptor = -ENOENT;
    g_mutex_lock(&inotify->lock);
    g_ptr_array_add(inotify->paths, path);
    g_mutex_unlock(&inotify->lock);
    return path;
}

void dinv_file_watch_path_unref(DinvFileWatchPath *path) {
    if (path == NULL || !g_atomic_ref_count_dec(&path->references)) {
        return;
    }
    g_mutex_lock(&path->inotify->lock);
    (void)g_ptr_array_remove_fast(path->inotify->paths, path);
    g_mutex_unlock(&path->inotify->lock);
    inotify_unref(path->inotify);
    g_free(path->path);
    g_free(path);
}

static int path_get_descriptor(DinvFileWatchPath *path) {
    g_mutex_lock(&path->inotify->lock);
    int descriptor = path->descriptor;
    g_mutex_unlock(&path->inotify->lock);
    return descriptor;
}

/* With the lock. */
static gboolean is_in_use(const Inotify *inotify, int descriptor) {
    for (guint i = 0; i < inotify->paths->len; i++) {
        const DinvFileWatchPath *path = inotify->paths->pdata[i];
        if (path->descriptor == descriptor) {
            return TRUE;
        }
    }
    return FALSE;
}

int dinv_file_watch_path_renew(DinvFileWatchPath *path) {
    const guint32 mask = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;
    Inotify *inotify = path->inotify;
    int now = inotify->fd;
    if (now >= 0) {
        /* inotify gives the descriptor from before if the path still leads to the same file, and
         * one descriptor for two paths that lead to one file. */
        now = inotify_add_watch(inotify->fd, path->path, mask);
        now = now >= 0 ? now : -errno;
    }
    g_mutex_lock(&inotify->lock);
    int before = path->descriptor;
    path->descriptor = now;
    if (before >= 0 && !is_in_use(inotify, before)) {
        (void)inotify_rm_watch(inotify->fd, before); /* EINVAL: it went with its inode */
    }
    g_mutex_unlock(&inotify->lock);
    return now < 0 ? -now : 0;
}

/* --- In the loop --- */

static DinvFileWatchPath *get_path(const DinvFileWatch *watch, guint index) {
    return g_ptr_array_index(watch->paths, index);
}

DinvFileWatchPath *dinv_file_watch_get_path(const DinvFileWatch *watch, guint index) {
    DinvFileWatchPath *path = get_path(watch, index);
    g_atomic_ref_count_inc(&path->references);
    return path;
}

void dinv_file_watch_renew(DinvFileWatch *watch) {
    for (guint i = 0; i < watch->paths->len; i++) {
        (void)dinv_file_watch_path_renew(get_path(watch, i));
    }
}

static gboolean file_watch_on_settled(gpointer user) {
    DinvFileWatch *watch = user;
    watch->settle_source = 0;
    for (guint i = 0; i < watch->paths->len; i++) {
        DinvFileWatchPath *path = get_path(watch, i);
        if (path->changed) {
            path->changed = FALSE;
            if (!watch->is_passive) {
                (void)dinv_file_watch_path_renew(path);
            }
            watch->changed(i, watch->user);
        }
    }
    return G_SOURCE_REMOVE;
}

static void mark_changed(DinvFileWatch *watch, const struct inotify_event *event) {
    for (guint i = 0; i < watch->paths->len; i++) {
        DinvFileWatchPath *path = get_path(watch, i);
        /* After an overflow any may have changed. */
        if (path_get_descriptor(path) == event->wd || (event->mask & IN_Q_OVERFLOW) != 0) {
            path->changed = TRUE;
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

static DinvFileWatch *watch_new(const char *const *paths, gboolean is_passive,
                                void (*changed)(guint index, gpointer user), gpointer user) {
    DinvFileWatch *watch = g_new0(DinvFileWatch, 1);
    watch->inotify = inotify_new();
    watch->paths = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_file_watch_path_unref);
    watch->changed = changed;
    watch->user = user;
    watch->is_passive = is_passive;
    if (watch->inotify->fd >= 0) {
        watch->source = g_unix_fd_add(watch->inotify->fd, G_IO_IN, file_watch_on_events, watch);
    }
    for (guint i = 0; paths[i] != NULL; i++) {
        g_ptr_array_add(watch->paths, path_new(watch->inotify, paths[i]));
    }
    return watch;
}

DinvFileWatch *dinv_file_watch_new(const char *const *paths,
                                   void (*changed)(guint index, gpointer user), gpointer user) {
    DinvFileWatch *watch = watch_new(paths, FALSE, changed, user);
    dinv_file_watch_renew(watch);
    return watch;
}

DinvFileWatch *dinv_file_watch_new_passive(const char *const *paths,
                                           void (*changed)(guint index, gpointer user),
                                           gpointer user) {
    return watch_new(paths, TRUE, changed, user);
}

void dinv_file_watch_free(DinvFileWatch *watch) {
    if (watch == NULL) {
        return;
    }
    g_clear_handle_id(&watch->source, g_source_remove);
    g_clear_handle_id(&watch->settle_source, g_source_remove);
    g_ptr_array_unref(watch->paths);
    inotify_unref(watch->inotify);
    g_free(watch);
}

/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. An update is shared by its owner, its thread, and the source in the main
 * context that brings the result; the last of them frees it. When the thread has said that it is
 * done, nothing that it still does can block: joining it takes no time.
 */
#include "launcher/mounts/update.h"

#include <gio/gio.h>

struct DinvMountUpdate {
    gatomicrefcount references;
    DinvMountCopy *copy;
    DinvFileWatchPath *watched;
    GMainContext *context;
    DinvMountUpdated
        callback; /* NULL when the owner is gone; the owner's thread alone looks at it */
    gpointer user;
    GThread *thread; /* NULL once joined */
    /* Written by the thread before it attaches the source. */
    DinvMountCopyResult result;
    GError *error;
    int watch_error;
    GMutex lock;
    GCond is_done_changed;
    gboolean is_done; /* under the lock */
};

static void update_unref(gpointer data) {
    DinvMountUpdate *update = data;
    if (!g_atomic_ref_count_dec(&update->references)) {
        return;
    }
    dinv_mount_copy_unref(update->copy);
    dinv_file_watch_path_unref(update->watched);
    if (update->context != NULL) {
        g_main_context_unref(update->context);
    }
    g_clear_error(&update->error);
    g_mutex_clear(&update->lock);
    g_cond_clear(&update->is_done_changed);
    g_free(update);
}

static gboolean update_on_done(gpointer user) {
    DinvMountUpdate *update = user;
    if (update->callback != NULL) {
        update->callback(update->result, update->error, update->watch_error, update->user);
    }
    return G_SOURCE_REMOVE;
}

static gpointer update_run(gpointer data) {
    DinvMountUpdate *update = data;
    update->watch_error = dinv_file_watch_path_renew(update->watched);
    update->result = dinv_mount_copy_update(update->copy, &update->error);
    g_mutex_lock(&update->lock);
    update->is_done = TRUE;
    g_cond_broadcast(&update->is_done_changed);
    g_mutex_unlock(&update->lock);
    /* The thread's reference becomes the source's. */
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, update_on_done, update, update_unref);
    (void)g_source_attach(source, update->context);
    return NULL;
}

DinvMountUpdate *dinv_mount_update_start(DinvMountCopy *copy, DinvFileWatchPath *watched,
                                         GMainContext *context, DinvMountUpdated callback,
                                         gpointer user, GError **error) {
    DinvMountUpdate *update = g_new0(DinvMountUpdate, 1);
    g_autoptr(GError) problem = NULL;
    g_atomic_ref_count_init(&update->references);
    g_atomic_ref_count_inc(&update->references); /* the thread's */
    update->copy = dinv_mount_copy_ref(copy);
    update->watched = watched;
    update->context = context != NULL ? g_main_context_ref(context) : NULL;
    update->callback = callback;
    update->user = user;
    g_mutex_init(&update->lock);
    g_cond_init(&update->is_done_changed);
    update->thread = g_thread_try_new("mount-copy", update_run, update, &problem);
    if (update->thread == NULL) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot copy %s: %s",
                    dinv_mount_copy_get_name(copy), problem->message);
        update_unref(update);
        update_unref(update);
        return NULL;
    }
    return update;
}

gboolean dinv_mount_update_wait(DinvMountUpdate *update, gint64 monotonic_us) {
    g_mutex_lock(&update->lock);
    while (!update->is_done &&
           g_cond_wait_until(&update->is_done_changed, &update->lock, monotonic_us)) {
    }
    gboolean is_done = update->is_done;
    g_mutex_unlock(&update->lock);
    if (is_done && update->thread != NULL) {
        (void)g_thread_join(g_steal_pointer(&update->thread));
    }
    return is_done;
}

void dinv_mount_update_free(DinvMountUpdate *update) {
    if (update == NULL) {
        return;
    }
    update->callback = NULL;
    if (!dinv_mount_update_wait(update, 0)) {
        g_thread_unref(g_steal_pointer(&update->thread));
    }
    update_unref(update);
}

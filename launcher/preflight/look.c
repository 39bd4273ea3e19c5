/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. stat(2) on a network file system whose server is gone comes back when the
 * server does. So a thread does it; it and the caller share the look, and the last one frees it.
 */
#include "launcher/preflight/look.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"

typedef struct {
    gatomicrefcount references;
    char *source;
    GMutex lock;
    GCond is_done_changed;
    gboolean is_done; /* under the lock; then the rest is the caller's to read */
    char *resolved;
    struct stat status;
    int error;
    gboolean is_readable;
} Look;

static void look_unref(Look *look) {
    if (!g_atomic_ref_count_dec(&look->references)) {
        return;
    }
    g_free(look->source);
    g_free(look->resolved);
    g_mutex_clear(&look->lock);
    g_cond_clear(&look->is_done_changed);
    g_free(look);
}

static gpointer look_run(gpointer data) {
    Look *look = data;
    look->resolved = dinv_directory_resolve(look->source);
    if (stat(look->source, &look->status) < 0) {
        look->error = errno;
    } else {
        int access_mode = S_ISDIR(look->status.st_mode) ? R_OK | X_OK : R_OK;
        look->is_readable = access(look->source, access_mode) == 0;
    }
    g_mutex_lock(&look->lock);
    look->is_done = TRUE;
    g_cond_signal(&look->is_done_changed);
    g_mutex_unlock(&look->lock);
    look_unref(look);
    return NULL;
}

static gboolean look_wait(Look *look, gint64 until_us) {
    g_mutex_lock(&look->lock);
    while (!look->is_done && g_cond_wait_until(&look->is_done_changed, &look->lock, until_us)) {
    }
    gboolean is_done = look->is_done;
    g_mutex_unlock(&look->lock);
    return is_done;
}

void dinv_preflight_look(const DinvMountSpec *spec, gint64 until_us, DinvPlanMountFinding *found) {
    Look *look = g_new0(Look, 1);
    g_atomic_ref_count_init(&look->references);
    g_atomic_ref_count_inc(&look->references); /* the thread's */
    look->source = g_strdup(spec->source);
    g_mutex_init(&look->lock);
    g_cond_init(&look->is_done_changed);
    GThread *thread = g_thread_new("mount-look", look_run, look);
    found->spec = dinv_mount_spec_copy(spec);
    if (look_wait(look, MAX(until_us, g_get_monotonic_time() + G_TIME_SPAN_SECOND))) {
        (void)g_thread_join(thread);
        found->resolved = g_steal_pointer(&look->resolved);
        found->error = look->error;
        found->mode = look->status.st_mode;
        found->bytes = (guint64)look->status.st_size;
        found->is_readable = look->is_readable;
    } else {
        g_thread_unref(thread);
        found->resolved = g_strdup(spec->source);
        found->error = ETIMEDOUT;
    }
    look_unref(look);
}

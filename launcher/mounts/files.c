/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The files are watched (file-watch.h); one that has changed is wanted, and
 * updated in a thread when it is its turn: few at a time, as each may be in memory as a whole. One
 * that takes too long, because its server is gone say, gives its turn to the others. While a file
 * is not there, or cannot be copied, the last copy stays, and copying is tried again and again.
 *
 * At the start there is no main loop yet; it is waited for in a main context of the start's own.
 */
#include "launcher/mounts/files.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gstdio.h>

#include "launcher/base/log.h"
#include "launcher/mounts/spec.h"
#include "launcher/mounts/update.h"

#define RETRY_MS 1000u
/* Each has at most DINV_MOUNT_FILE_MAX bytes in memory. */
#define UPDATES_MAX 4u
#define SLOW_MS     10000u
#define START_MS    30000u
#define END_US      ((gint64)G_USEC_PER_SEC)

typedef struct {
    DinvMountFiles *files;
    guint index; /* in `files->files`, and of the watch */
    DinvMountCopy *copy;
    DinvMountUpdate *update; /* under way; NULL: none */
    guint slow_source;
    gboolean is_slow;   /* the update has lost its turn */
    gboolean is_wanted; /* to be updated (again) */
    gboolean is_stale;  /* the copy, as the file could not be copied */
    gboolean told;      /* that it cannot be copied */
} File;

/* The first copies, which are waited for. */
typedef struct {
    GMainContext *context;
    GSource *deadline;
    guint left;    /* files that have no copy yet */
    GError *error; /* the first one */
} Start;

struct DinvMountFiles {
    char *directory;
    GPtrArray *files;     /* of File* */
    DinvFileWatch *watch; /* of the same files */
    guint active;         /* updates under way, but for slow ones */
    Start *start;         /* NULL after the start */
    guint retry_source;
};

static void file_free(gpointer data) {
    File *file = data;
    g_clear_handle_id(&file->slow_source, g_source_remove);
    dinv_mount_update_free(file->update);
    dinv_mount_copy_unref(file->copy);
    g_free(file);
}

/* --- Updating --- */

static void update_wanted(DinvMountFiles *files);

static gboolean files_on_retry(gpointer user) {
    DinvMountFiles *files = user;
    files->retry_source = 0;
    for (guint i = 0; i < files->files->len; i++) {
        File *file = files->files->pdata[i];
        file->is_wanted = file->is_wanted || file->is_stale;
    }
    update_wanted(files);
    return G_SOURCE_REMOVE;
}

static void tell_unwatched(const File *file, int watch_error) {
    dinv_log(DINV_LOG_WARNING, "cannot watch %s (%s); the guest will not see its changes, ignoring",
             dinv_mount_copy_get_name(file->copy), g_strerror(watch_error));
}

/* A file that cannot be copied is tried again until it can; so is one that was made anew between
 * the attempt to watch it and the reading, as nobody watches it then. */
static void file_take_result(File *file, DinvMountCopyResult result, const GError *error,
                             int watch_error) {
    gboolean is_copied = result == DINV_MOUNT_COPY_DONE;
    file->is_stale = !is_copied || watch_error == ENOENT;
    if (is_copied && watch_error != 0 && watch_error != ENOENT) {
        tell_unwatched(file, watch_error);
    }
    if (!is_copied && !file->told) {
        dinv_log(DINV_LOG_WARNING, "%s; the guest %s of the file", error->message,
                 result == DINV_MOUNT_COPY_KEPT ? "keeps its last copy" : "has a damaged copy");
    }
    file->told = !is_copied;
    if (file->is_stale && file->files->retry_source == 0) {
        file->files->retry_source = g_timeout_add(RETRY_MS, files_on_retry, file->files);
    }
}

static void start_take_result(Start *start, const File *file, const GError *error,
                              int watch_error) {
    start->left--;
    g_source_set_ready_time(start->deadline,
                            g_get_monotonic_time() + (gint64)START_MS * G_TIME_SPAN_MILLISECOND);
    if (error != NULL && start->error == NULL) {
        start->error = g_error_copy(error);
    } else if (error == NULL && watch_error != 0) {
        tell_unwatched(file, watch_error);
    }
}

static void file_on_updated(DinvMountCopyResult result, const GError *error, int watch_error,
                            gpointer user) {
    File *file = user;
    DinvMountFiles *files = file->files;
    g_clear_handle_id(&file->slow_source, g_source_remove);
    files->active -= file->is_slow ? 0 : 1;
    file->is_slow = FALSE;
    if (files->start != NULL) {
        start_take_result(files->start, file, error, watch_error);
    } else {
        file_take_result(file, result, error, watch_error);
    }
    g_clear_pointer(&file->update, dinv_mount_update_free);
    update_wanted(files);
}

static gboolean file_on_slow(gpointer user) {
    File *file = user;
    file->slow_source = 0;
    file->is_slow = TRUE;
    file->files->active--;
    dinv_log(DINV_LOG_WARNING,
             "copying %s has taken %u s so far; the guest keeps its last copy of the file until it "
             "is done",
             dinv_mount_copy_get_name(file->copy), SLOW_MS / 1000);
    update_wanted(file->files);
    return G_SOURCE_REMOVE;
}

static void file_update(File *file) {
    DinvMountFiles *files = file->files;
    g_autoptr(GError) error = NULL;
    file->is_wanted = FALSE;
    file->update = dinv_mount_update_start(
        file->copy, dinv_file_watch_get_path(files->watch, file->index),
        files->start != NULL ? files->start->context : NULL, file_on_updated, file, &error);
    if (file->update != NULL) {
        files->active++;
        file->slow_source = files->start == NULL ? g_timeout_add(SLOW_MS, file_on_slow, file) : 0;
    } else if (files->start != NULL) {
        start_take_result(files->start, file, error, 0);
    } else {
        file_take_result(file, DINV_MOUNT_COPY_KEPT, error, 0);
    }
}

static void update_wanted(DinvMountFiles *files) {
    for (guint i = 0; i < files->files->len && files->active < UPDATES_MAX; i++) {
        File *file = files->files->pdata[i];
        if (file->is_wanted && file->update == NULL) {
            file_update(file);
        }
    }
}

static void files_on_changed(guint index, gpointer user) {
    DinvMountFiles *files = user;
    ((File *)files->files->pdata[index])->is_wanted = TRUE;
    update_wanted(files);
}

/* --- The start --- */

static gboolean start_on_deadline(gpointer user) {
    DinvMountFiles *files = user;
    for (guint i = 0; i < files->files->len && files->start->error == NULL; i++) {
        const File *file = files->files->pdata[i];
        if (file->update != NULL) {
            g_set_error(&files->start->error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "cannot read %s: its file system does not answer",
                        dinv_mount_copy_get_name(file->copy));
        }
    }
    return G_SOURCE_CONTINUE;
}

static gboolean start_on_stop(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                              gpointer user) {
    DinvMountFiles *files = user;
    if (files->start->error == NULL) {
        files->start->error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped");
    }
    return G_SOURCE_REMOVE;
}

/* Waits for the first copies. */
static gboolean start_copying(DinvMountFiles *files, int stop_fd, GError **error) {
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) deadline = g_timeout_source_new(START_MS);
    g_autoptr(GSource) stop = stop_fd >= 0 ? g_unix_fd_source_new(stop_fd, G_IO_IN) : NULL;
    Start start = {.context = context, .deadline = deadline, .left = files->files->len};
    files->start = &start;
    g_source_set_callback(deadline, start_on_deadline, files, NULL);
    (void)g_source_attach(deadline, context);
    if (stop != NULL) {
        g_source_set_callback(stop, G_SOURCE_FUNC(start_on_stop), files, NULL);
        (void)g_source_attach(stop, context);
    }
    for (guint i = 0; i < files->files->len; i++) {
        ((File *)files->files->pdata[i])->is_wanted = TRUE;
    }
    update_wanted(files);
    while (start.left > 0 && start.error == NULL) {
        (void)g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(deadline);
    if (stop != NULL) {
        g_source_destroy(stop);
    }
    files->start = NULL;
    if (start.error != NULL) {
        g_propagate_error(error, start.error);
        return FALSE;
    }
    return TRUE;
}

static void remove_directory(const char *directory) {
    g_autoptr(GDir) entries = g_dir_open(directory, 0, NULL);
    const char *name;
    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(directory);
}

/* Makes the directory, and the copies as empty files. */
static gboolean make_copies(DinvMountFiles *files, const GPtrArray *mounts, GError **error) {
    remove_directory(files->directory);
    if (g_mkdir(files->directory, 0700) < 0) {
        int number = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "cannot make %s: %s",
                    files->directory, g_strerror(number));
        return FALSE;
    }
    g_autoptr(GPtrArray) sources = g_ptr_array_new();
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *mount = mounts->pdata[i];
        if (!mount->is_file) {
            continue;
        }
        g_autofree char *path = g_strdup_printf("%s/%u", files->directory, i);
        DinvMountCopy *copy = dinv_mount_copy_new(mount->source, path, error);
        if (copy == NULL) {
            return FALSE;
        }
        File *file = g_new0(File, 1);
        file->files = files;
        file->index = files->files->len;
        file->copy = copy;
        g_ptr_array_add(files->files, file);
        g_ptr_array_add(sources, mount->source);
    }
    g_ptr_array_add(sources, NULL);
    files->watch =
        dinv_file_watch_new_passive((const char *const *)sources->pdata, files_on_changed, files);
    return TRUE;
}

/* --- The whole --- */

static gboolean is_any_file(const GPtrArray *mounts) {
    for (guint i = 0; i < mounts->len; i++) {
        if (((const DinvMountSpec *)mounts->pdata[i])->is_file) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean dinv_mount_files_start(const char *state_dir, const GPtrArray *mounts, int stop_fd,
                                DinvMountFiles **files, GError **error) {
    g_autoptr(DinvMountFiles) made = g_new0(DinvMountFiles, 1);
    made->directory = g_build_filename(state_dir, "files", NULL);
    made->files = g_ptr_array_new_with_free_func(file_free);
    gboolean is_wanted = is_any_file(mounts);
    if (is_wanted && (!make_copies(made, mounts, error) || !start_copying(made, stop_fd, error))) {
        return FALSE;
    }
    *files = is_wanted ? g_steal_pointer(&made) : NULL;
    return TRUE;
}

const char *dinv_mount_files_get_directory(const DinvMountFiles *files) {
    return files != NULL ? files->directory : NULL;
}

/* Threads that hang cannot be joined: they are left to the end of the process. */
static void wait_for_updates(const DinvMountFiles *files) {
    gint64 until_us = g_get_monotonic_time() + END_US;
    for (guint i = 0; i < files->files->len; i++) {
        const File *file = files->files->pdata[i];
        if (file->update != NULL && !dinv_mount_update_wait(file->update, until_us)) {
            dinv_log(DINV_LOG_WARNING, "copying %s does not come to an end, leaving it",
                     dinv_mount_copy_get_name(file->copy));
        }
    }
}

void dinv_mount_files_free(DinvMountFiles *files) {
    if (files == NULL) {
        return;
    }
    g_clear_handle_id(&files->retry_source, g_source_remove);
    dinv_file_watch_free(files->watch);
    wait_for_updates(files);
    g_ptr_array_unref(files->files);
    remove_directory(files->directory);
    g_free(files->directory);
    g_free(files);
}

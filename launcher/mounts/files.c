/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The files are watched (file-watch.h), and copied when they have changed. A
 * copy is overwritten in place and then cut to its length: the guest's mount is of this very inode.
 * While a file is not there, or cannot be copied, the last copy stays.
 */
#include "launcher/mounts/files.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/file-watch.h"
#include "launcher/base/log.h"
#include "launcher/mounts/spec.h"

#define MISSING_MS 1000u
#define CHUNK      65536u

typedef struct {
    char *source;
    char *name; /* in text for people */
    char *copy;
    gboolean is_stale; /* the copy, as the file could not be copied */
    gboolean told;     /* that it cannot be copied */
} File;

struct DinvMountFiles {
    char *directory;
    GPtrArray *files;     /* of File* */
    DinvFileWatch *watch; /* of the same files */
    guint retry_source;
};

static void file_free(gpointer data) {
    File *file = data;

    g_free(file->source);
    g_free(file->name);
    g_free(file->copy);
    g_free(file);
}

/* ---- copying ---- */

static gboolean fail(GError **error, const char *doing, const char *path) {
    int number = errno;

    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "cannot %s %s: %s", doing,
                path, g_strerror(number));
    return FALSE;
}

/* Up to the limit, which the file may have outgrown since it was looked at. */
static gboolean copy_bytes(int from, int to, const File *file, GError **error) {
    g_autofree char *bytes = g_malloc(CHUNK);
    off_t length = 0;
    gssize n;

    while ((n = read(from, bytes, CHUNK)) > 0) {
        if (length + n > (off_t)DINV_MOUNT_FILE_MAX) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s is larger than %u MiB now",
                        file->name, DINV_MOUNT_FILE_MAX >> 20);
            return FALSE;
        }
        for (gssize done = 0; done < n;) {
            gssize written = pwrite(to, bytes + done, (gsize)(n - done), length + done);

            if (written < 0) {
                return fail(error, "write", file->copy);
            }
            done += written;
        }
        length += n;
    }
    if (n < 0) {
        return fail(error, "read", file->name);
    }
    return ftruncate(to, length) == 0 || fail(error, "write", file->copy);
}

static gboolean copy_open_file(int from, int to, const File *file, GError **error) {
    struct stat status;

    if (fstat(from, &status) < 0) {
        return fail(error, "read", file->name);
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s is no file any more", file->name);
        return FALSE;
    }
    if (!copy_bytes(from, to, file, error)) {
        return FALSE;
    }
    (void)!fchown(to, status.st_uid, status.st_gid); /* for root with capabilities only */
    /* Writable for us, to be written again. */
    return fchmod(to, (status.st_mode & 0777) | S_IWUSR) == 0 ||
           fail(error, "set the mode of", file->copy);
}

static gboolean copy_file(const File *file, GError **error) {
    int from = open(file->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    gboolean good;
    int to;

    if (from < 0) {
        return fail(error, "read", file->name);
    }
    /* 0600 until it has its mode: nobody who may not read the file sees the copy either. */
    to = open(file->copy, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    good = to >= 0 ? copy_open_file(from, to, file, error) : fail(error, "write", file->copy);
    (void)close(from);
    if (to >= 0) {
        (void)close(to);
    }
    return good;
}

/* ---- following ---- */

static gboolean on_retry(gpointer user);

/* A file that cannot be copied is tried again until it can. */
static void follow(DinvMountFiles *files, File *file) {
    g_autoptr(GError) error = NULL;

    file->is_stale = !copy_file(file, &error);
    if (!file->is_stale) {
        file->told = FALSE;
        return;
    }
    if (!file->told) {
        dinv_log(DINV_LOG_WARNING, "%s; the guest keeps its last copy of the file", error->message);
        file->told = TRUE;
    }
    if (files->retry_source == 0) {
        files->retry_source = g_timeout_add(MISSING_MS, on_retry, files);
    }
}

static gboolean on_retry(gpointer user) {
    DinvMountFiles *files = user;

    files->retry_source = 0;
    /* First the watch, then the copy: a change in between is seen again. */
    dinv_file_watch_renew(files->watch);
    for (guint i = 0; i < files->files->len; i++) {
        File *file = files->files->pdata[i];

        if (file->is_stale) {
            follow(files, file);
        }
    }
    return G_SOURCE_REMOVE;
}

static void on_changed(guint index, gpointer user) {
    DinvMountFiles *files = user;

    follow(files, files->files->pdata[index]);
}

static void watch_files(DinvMountFiles *files) {
    g_autoptr(GPtrArray) paths = g_ptr_array_new();

    for (guint i = 0; i < files->files->len; i++) {
        g_ptr_array_add(paths, ((File *)files->files->pdata[i])->source);
    }
    g_ptr_array_add(paths, NULL);
    files->watch = dinv_file_watch_new((const char *const *)paths->pdata, on_changed, files);
    for (guint i = 0; i < files->files->len; i++) {
        const File *file = files->files->pdata[i];
        int number = dinv_file_watch_get_error(files->watch, i);

        if (number != 0) {
            dinv_log(DINV_LOG_WARNING,
                     "cannot watch %s (%s); the guest will not see its changes, ignoring",
                     file->name, g_strerror(number));
        }
    }
}

/* ---- the whole ---- */

static void remove_directory(const char *directory) {
    g_autoptr(GDir) entries = g_dir_open(directory, 0, NULL);
    const char *name;

    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        (void)g_unlink(path);
    }
    (void)g_rmdir(directory);
}

static void add_file(DinvMountFiles *files, const DinvMountSpec *mount, guint index) {
    File *file = g_new0(File, 1);

    file->source = g_strdup(mount->source);
    file->name = dinv_path_to_text(mount->source);
    file->copy = g_strdup_printf("%s/%u", files->directory, index);
    g_ptr_array_add(files->files, file);
}

static gboolean start(DinvMountFiles *files, GError **error) {
    remove_directory(files->directory);
    if (g_mkdir(files->directory, 0700) < 0) {
        return fail(error, "make", files->directory);
    }
    watch_files(files);
    for (guint i = 0; i < files->files->len; i++) {
        if (!copy_file(files->files->pdata[i], error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_mount_files_start(const char *state_dir, const GPtrArray *mounts,
                                DinvMountFiles **files, GError **error) {
    g_autoptr(DinvMountFiles) made = g_new0(DinvMountFiles, 1);
    made->directory = g_build_filename(state_dir, "files", NULL);
    made->files = g_ptr_array_new_with_free_func(file_free);
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *mount = mounts->pdata[i];
        if (mount->is_file) {
            add_file(made, mount, i);
        }
    }
    if (made->files->len > 0 && !start(made, error)) {
        return FALSE;
    }
    *files = made->files->len > 0 ? g_steal_pointer(&made) : NULL;
    return TRUE;
}

const char *dinv_mount_files_get_directory(const DinvMountFiles *files) {
    return files != NULL ? files->directory : NULL;
}

void dinv_mount_files_free(DinvMountFiles *files) {
    if (files == NULL) {
        return;
    }
    g_clear_handle_id(&files->retry_source, g_source_remove);
    dinv_file_watch_free(files->watch);
    remove_directory(files->directory);
    g_ptr_array_unref(files->files);
    g_free(files->directory);
    g_free(files);
}

/* SPDX-License-Identifier: MIT */
/* Opens without waiting, looks at what was opened, and reads no more than was asked for. */
#include "launcher/base/input-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean check_type(int fd, gsize max_bytes, GError **error) {
    struct stat status;
    if (fstat(fd, &status) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot be read: %s", g_strerror(errno));
        return FALSE;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE, "is %s",
                    S_ISDIR(status.st_mode) ? "a directory" : "not a file");
        return FALSE;
    }
    if (status.st_size > (off_t)max_bytes) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "has %" G_GINT64_FORMAT " KiB, the most is %" G_GSIZE_FORMAT,
                    (gint64)(status.st_size + 1023) >> 10, max_bytes >> 10);
        return FALSE;
    }
    return TRUE;
}

/* Reads at most `size` bytes; the count, or -1. */
static gssize read_whole(int fd, char *bytes, gsize size) {
    gsize length = 0;
    while (length < size) {
        ssize_t got = read(fd, bytes + length, size - length);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        length += got > 0 ? (gsize)got : 0;
    }
    return (gssize)length;
}

char *dinv_input_file_read(const char *path, gsize max_bytes, gsize *length, GError **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int problem = errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(problem), "cannot be read: %s",
                    g_strerror(problem));
        return NULL;
    }
    if (!check_type(fd, max_bytes, error)) {
        (void)close(fd);
        return NULL;
    }
    g_autofree char *bytes = g_malloc(max_bytes + 1);
    gssize got = read_whole(fd, bytes, max_bytes);
    int problem = errno;
    (void)close(fd);
    if (got < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(problem), "cannot be read: %s",
                    g_strerror(problem));
        return NULL;
    }
    bytes[got] = '\0';
    *length = (gsize)got;
    return g_steal_pointer(&bytes);
}

static gint compare_file_names(gconstpointer a, gconstpointer b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *dinv_input_directory_list(const char *path) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *name; directory != NULL && (name = g_dir_read_name(directory)) != NULL;) {
        g_ptr_array_add(names, g_strdup(name));
    }
    g_ptr_array_sort(names, compare_file_names);
    return names;
}

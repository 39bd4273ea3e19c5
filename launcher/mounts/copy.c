/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The guest's mount, and a container's mount of it, are of this very inode, so
 * a copy is overwritten in place: a new file under the old name would never be seen by a container
 * that has the old one. What can go wrong has to go wrong before the first byte is overwritten: the
 * new content is read to its end and judged, then space is reserved for what is longer than
 * before. Then it is written, and the file is cut to its length last.
 */
#include "launcher/mounts/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/mounts/spec.h"

struct DinvMountCopy {
    gatomicrefcount references;
    char *source;
    char *name; /* `source` in text for people */
    char *path;
    int fd; /* of `path` */
};

static gboolean copy_fail(GError **error, const char *doing, const char *path) {
    int number = errno;
    g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "cannot %s %s: %s", doing,
                path, g_strerror(number));
    return FALSE;
}

/* --- Reading --- */

/* One byte more than may be is read, to see that there is more. */
static GByteArray *copy_read_content(int fd, gsize size, const DinvMountCopy *copy,
                                     GError **error) {
    const gsize most = (gsize)DINV_MOUNT_FILE_MAX + 1;
    g_autoptr(GByteArray) content = g_byte_array_new();
    gsize length = 0;
    for (;;) {
        if (length == content->len) {
            gsize wanted = MAX(MAX(size + 1, 4096), 2 * length);
            g_byte_array_set_size(content, (guint)MIN(wanted, most));
        }
        gssize got = read(fd, content->data + length, content->len - length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            (void)copy_fail(error, "read", copy->name);
            return NULL;
        }
        length += (gsize)got;
        if (length == most) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s is larger than %u MiB now",
                        copy->name, DINV_MOUNT_FILE_MAX >> 20);
            return NULL;
        }
        if (got == 0) {
            g_byte_array_set_size(content, (guint)length);
            return g_steal_pointer(&content);
        }
    }
}

/* The source's content, and what `status` is to be; NULL on failure. */
static GByteArray *copy_read_source(const DinvMountCopy *copy, struct stat *status,
                                    GError **error) {
    g_autoptr(GByteArray) content = NULL;
    int fd = open(copy->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        (void)copy_fail(error, "read", copy->name);
        return NULL;
    }
    if (fstat(fd, status) < 0) {
        (void)copy_fail(error, "read", copy->name);
    } else if (!S_ISREG(status->st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s is no file any more", copy->name);
    } else {
        content = copy_read_content(fd, (gsize)MIN(status->st_size, (off_t)DINV_MOUNT_FILE_MAX),
                                    copy, error);
    }
    (void)close(fd);
    return g_steal_pointer(&content);
}

/* --- Writing --- */

/* A file system that cannot reserve space is written to without: it may be full midway. */
static gboolean copy_reserve(const DinvMountCopy *copy, gsize length, GError **error) {
    struct stat status;
    if (fstat(copy->fd, &status) < 0) {
        return copy_fail(error, "write", copy->path);
    }
    int code;
    do {
        code = length > 0 ? fallocate(copy->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)length) : 0;
    } while (code < 0 && errno == EINTR);
    if (code == 0 || errno == EOPNOTSUPP || errno == ENOSYS) {
        return TRUE;
    }
    (void)copy_fail(error, "write", copy->path);
    /* Gives back what was reserved behind the end. */
    (void)!ftruncate(copy->fd, status.st_size);
    return FALSE;
}

static gboolean copy_write_content(const DinvMountCopy *copy, const GByteArray *content,
                                   GError **error) {
    for (gsize done = 0; done < content->len;) {
        gssize put = pwrite(copy->fd, content->data + done, content->len - done, (off_t)done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return copy_fail(error, "write", copy->path);
        }
        done += (gsize)put;
    }
    return ftruncate(copy->fd, (off_t)content->len) == 0 || copy_fail(error, "write", copy->path);
}

DinvMountCopyResult dinv_mount_copy_update(DinvMountCopy *copy, GError **error) {
    struct stat status;
    g_autoptr(GByteArray) content = copy_read_source(copy, &status, error);
    if (content == NULL || !copy_reserve(copy, content->len, error)) {
        return DINV_MOUNT_COPY_KEPT;
    }
    if (!copy_write_content(copy, content, error)) {
        return DINV_MOUNT_COPY_TORN;
    }
    (void)!fchown(copy->fd, status.st_uid, status.st_gid); /* for root with capabilities only */
    /* The owner's bit for writing changes nothing in the guest, whose mount is read-only. */
    if (fchmod(copy->fd, (status.st_mode & 0777) | S_IWUSR) < 0) {
        (void)copy_fail(error, "set the mode of", copy->path);
        return DINV_MOUNT_COPY_TORN;
    }
    return DINV_MOUNT_COPY_DONE;
}

/* --- The whole --- */

DinvMountCopy *dinv_mount_copy_new(const char *source, const char *path, GError **error) {
    /* 0600 until it has its mode: nobody who may not read the file sees the copy either. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)copy_fail(error, "write", path);
        return NULL;
    }
    DinvMountCopy *copy = g_new0(DinvMountCopy, 1);
    g_atomic_ref_count_init(&copy->references);
    copy->source = g_strdup(source);
    copy->name = dinv_path_to_text(source);
    copy->path = g_strdup(path);
    copy->fd = fd;
    return copy;
}

DinvMountCopy *dinv_mount_copy_ref(DinvMountCopy *copy) {
    g_atomic_ref_count_inc(&copy->references);
    return copy;
}

void dinv_mount_copy_unref(DinvMountCopy *copy) {
    if (copy == NULL || !g_atomic_ref_count_dec(&copy->references)) {
        return;
    }
    (void)close(copy->fd);
    g_free(copy->source);
    g_free(copy->name);
    g_free(copy->path);
    g_free(copy);
}

const char *dinv_mount_copy_get_name(const DinvMountCopy *copy) {
    return copy->name;
}

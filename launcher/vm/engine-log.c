/* SPDX-License-Identifier: MIT */
/*
 * Copies from the guest's log service to a file, a chunk at a time. The file may be a pipe that
 * nobody reads: then the rest of a chunk waits here, and nothing more is taken from the guest until
 * the pipe has room, but the loop goes on.
 */
#include "launcher/vm/engine-log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "wire/services.h"

#define CHUNK_BYTES (16u << 10)

struct DinvVmEngineLog {
    char *path;
    int fd;
    int stream_fd; /* our end of the bridge to the guest's service; -1: none */
    guint source;  /* for the stream to read, or for the file to write the rest of `chunk` */
    char chunk[CHUNK_BYTES];
    gsize chunk_start;
    gsize chunk_end;
};

static int engine_log_open(const char *path) {
    const int flags = O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, O_WRONLY | flags, 0640);
    if (fd < 0 && errno == ENXIO) {
        fd = open(path, O_RDWR | flags, 0640); /* a named pipe whose reader is still to come */
    }
    return fd;
}

DinvVmEngineLog *dinv_vm_engine_log_new(const char *path, GError **error) {
    int fd = engine_log_open(path);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot write \"%s\": %s", path, g_strerror(errno));
        return NULL;
    }
    DinvVmEngineLog *file = g_new0(DinvVmEngineLog, 1);
    file->path = g_strdup(path);
    file->fd = fd;
    file->stream_fd = -1;
    return file;
}

static void stop_following(DinvVmEngineLog *file) {
    g_clear_handle_id(&file->source, g_source_remove);
    if (file->stream_fd >= 0) {
        (void)close(file->stream_fd);
        file->stream_fd = -1;
    }
}

void dinv_vm_engine_log_free(DinvVmEngineLog *file) {
    if (file != NULL) {
        stop_following(file);
        (void)close(file->fd);
        g_free(file->path);
        g_free(file);
    }
}

/* Writes what is left of the chunk, as far as the file takes it now. FALSE when it is broken. */
static gboolean write_rest(DinvVmEngineLog *file) {
    while (file->chunk_start < file->chunk_end) {
        ssize_t written =
            write(file->fd, file->chunk + file->chunk_start, file->chunk_end - file->chunk_start);
        if (written >= 0) {
            file->chunk_start += (gsize)written;
        } else if (errno == EAGAIN) {
            return TRUE;
        } else if (errno != EINTR) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean engine_log_on_readable(int fd, GIOCondition condition, gpointer user);
static gboolean engine_log_on_writable(int fd, GIOCondition condition, gpointer user);

/* Writes the chunk; then waits for what is next: room in the file, or more of the stream. Takes the
 * place of the source that is being dispatched. */
static gboolean write_and_wait(DinvVmEngineLog *file) {
    file->source = 0;
    if (!write_rest(file)) {
        dinv_log(DINV_LOG_WARNING, "cannot write \"%s\": %s; dockerd's log goes on without it",
                 file->path, g_strerror(errno));
        stop_following(file);
    } else if (file->chunk_start < file->chunk_end) {
        file->source = g_unix_fd_add(file->fd, G_IO_OUT, engine_log_on_writable, file);
    } else {
        file->source = g_unix_fd_add(file->stream_fd, G_IO_IN, engine_log_on_readable, file);
    }
    return G_SOURCE_REMOVE;
}

static gboolean engine_log_on_writable(int fd, GIOCondition condition, gpointer user) {
    (void)fd;
    (void)condition;
    return write_and_wait(user);
}

static gboolean engine_log_on_readable(int fd, GIOCondition condition, gpointer user) {
    DinvVmEngineLog *file = user;
    (void)condition;
    ssize_t got = read(fd, file->chunk, sizeof file->chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (got > 0) {
        file->chunk_start = 0;
        file->chunk_end = (gsize)got;
        return write_and_wait(file);
    }
    file->source = 0;
    stop_following(file);
    return G_SOURCE_REMOVE;
}

void dinv_vm_engine_log_follow(DinvVmEngineLog *file, DinvVmRelay *relay) {
    static const char request[] = "{\"name\":\"dockerd\",\"follow\":true}";
    g_autoptr(GError) error = NULL;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        dinv_log(DINV_LOG_WARNING, "\"%s\" does not get dockerd's log: %s, ignoring", file->path,
                 g_strerror(errno));
        return;
    }
    file->stream_fd = pair[0];
    if (!dinv_vm_relay_bridge(relay, DINV_WIRE_SERVICE_LOG, request, strlen(request), pair[1],
                              &error)) {
        dinv_log(DINV_LOG_WARNING, "\"%s\" does not get dockerd's log: %s, ignoring", file->path,
                 error->message);
        stop_following(file);
        return;
    }
    file->source = g_unix_fd_add(file->stream_fd, G_IO_IN, engine_log_on_readable, file);
}

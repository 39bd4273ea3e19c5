/* SPDX-License-Identifier: MIT */
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
    guint source;
};

DinvVmEngineLog *dinv_vm_engine_log_new(const char *path, GError **error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot write \"%s\": %s", path, g_strerror(errno));
        return NULL;
    }
    DinvVmEngineLog *file = g_new(DinvVmEngineLog, 1);
    *file = (DinvVmEngineLog){.path = g_strdup(path), .fd = fd, .stream_fd = -1};
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

static gboolean write_all(int fd, const char *bytes, gsize length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR) {
            return FALSE;
        }
        bytes += MAX(written, 0);
        length -= (gsize)MAX(written, 0);
    }
    return TRUE;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer user) {
    DinvVmEngineLog *file = user;
    char bytes[CHUNK_BYTES];
    ssize_t got = read(fd, bytes, sizeof bytes);
    (void)condition;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (got > 0 && write_all(file->fd, bytes, (gsize)got)) {
        return G_SOURCE_CONTINUE;
    }
    if (got > 0) {
        dinv_log(DINV_LOG_WARNING, "cannot write \"%s\": %s; dockerd's log goes on without it",
                 file->path, g_strerror(errno));
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
    file->source = g_unix_fd_add(file->stream_fd, G_IO_IN, on_readable, file);
}

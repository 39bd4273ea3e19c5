/* SPDX-License-Identifier: MIT */
/* Makes a unix socket under a temporary name and renames it; accepts connections of any kind. */
#include "launcher/base/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/base/unix-socket.h"

/* A burst of clients waits, as it does for a program of Go; the kernel has the last word. */
#define BACKLOG 4096
/* After EMFILE and its kind: accept again when some connections may have gone. */
#define RETRY_MS 250u

struct DinvListener {
    char *name;           /* of a unix socket its path */
    gboolean is_path;     /* which goes with us */
    struct stat identity; /* of our socket, so that we remove no other's */
    int fd;
    guint source;
    gboolean complained; /* about a failed accept, since the last one that worked */
    void (*accepted)(int fd, gpointer user);
    gpointer user;
};

static gboolean set_path_address(struct sockaddr_un *address, const char *path, GError **error) {
    if (dinv_unix_socket_set_address(address, path) < 0) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG,
            "the socket path \"%s\" is too long: %zu bytes, at most %zu; choose a shorter one",
            path, strlen(path), sizeof address->sun_path - 1);
        return FALSE;
    }
    return TRUE;
}

static gboolean set_errno_error(GError **error, const char *what, const char *path) {
    int code = errno;
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code), "cannot %s \"%s\": %s", what,
                path, g_strerror(code));
    return FALSE;
}

/* Whether `path` may be replaced: it is not there, or a socket that nobody listens on. */
static gboolean check_path_free(const char *path, GError **error) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        return errno == ENOENT ? TRUE : set_errno_error(error, "look at", path);
    }
    if (!S_ISSOCK(status.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "\"%s\" exists and is not a socket; move it away or choose another path", path);
        return FALSE;
    }
    int alive = dinv_unix_socket_is_alive(path);
    if (alive < 0) {
        g_set_error(
            error, G_IO_ERROR, (gint)g_io_error_from_errno(-alive),
            "cannot find out whether a program uses the socket \"%s\": %s; remove it if none "
            "does, or choose another path",
            path, g_strerror(-alive));
        return FALSE;
    }
    if (alive > 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                    "\"%s\" is the socket of a running program; stop it or choose another path",
                    path);
        return FALSE;
    }
    return TRUE;
}

/* Removes what a process left that was killed here and had our pid (in a container that is always
 * the same). */
static gboolean clear_way(const char *temporary, GError **error) {
    struct sockaddr_un address;
    if (!set_path_address(&address, temporary, error) || !check_path_free(temporary, error)) {
        return FALSE;
    }
    return unlink(temporary) == 0 || errno == ENOENT || set_errno_error(error, "remove", temporary);
}

static gboolean bind_and_own(int fd, const char *path, mode_t mode, uid_t uid, gid_t gid,
                             GError **error) {
    struct sockaddr_un address;
    if (!set_path_address(&address, path, error)) {
        return FALSE;
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        return set_errno_error(error, "create the socket", path);
    }
    /* Nobody can connect before listen(), so nobody uses it with another mode than the last. */
    if (chmod(path, mode) < 0 || chown(path, uid, gid) < 0) {
        (void)set_errno_error(error, "set mode and owner of", path);
        (void)unlink(path);
        return FALSE;
    }
    if (listen(fd, BACKLOG) < 0) {
        (void)set_errno_error(error, "listen on", path);
        (void)unlink(path);
        return FALSE;
    }
    return TRUE;
}

DinvListener *dinv_listener_new(const char *path, mode_t mode, uid_t uid, gid_t gid,
                                GError **error) {
    struct sockaddr_un address;
    if (!set_path_address(&address, path, error) || !check_path_free(path, error)) {
        return NULL;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        (void)set_errno_error(error, "make a socket for", path);
        return NULL;
    }
    /* The temporary name is no longer than the last one may be. */
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *temporary = g_strdup_printf("%s/.%x", directory, (unsigned)getpid());
    (void)g_mkdir_with_parents(directory, 0755); /* without it, bind() says what is wrong */
    if (!clear_way(temporary, error) || !bind_and_own(fd, temporary, mode, uid, gid, error)) {
        (void)close(fd);
        return NULL;
    }
    DinvListener *listener = g_new0(DinvListener, 1);
    if (stat(temporary, &listener->identity) < 0 || rename(temporary, path) < 0) {
        (void)set_errno_error(error, "create the socket", path);
        (void)unlink(temporary);
        (void)close(fd);
        g_free(listener);
        return NULL;
    }
    listener->fd = fd;
    listener->name = g_strdup(path);
    listener->is_path = TRUE;
    return listener;
}

DinvListener *dinv_listener_new_tcp(const DinvTcpAddress *address, GError **error) {
    int fd = dinv_tcp_listen(address, BACKLOG, error);
    if (fd < 0) {
        return NULL;
    }
    DinvListener *listener = g_new0(DinvListener, 1);
    listener->fd = fd;
    listener->name = dinv_tcp_address_to_string(address);
    return listener;
}

const char *dinv_listener_get_name(const DinvListener *listener) {
    return listener->name;
}

static gboolean listener_on_connection(int fd, GIOCondition condition, gpointer user);

static gboolean listener_on_retry(gpointer user) {
    DinvListener *listener = user;
    listener->source = g_unix_fd_add(listener->fd, G_IO_IN, listener_on_connection, listener);
    return G_SOURCE_REMOVE;
}

static gboolean listener_on_connection(int fd, GIOCondition condition, gpointer user) {
    DinvListener *listener = user;
    (void)condition;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
        listener->complained = FALSE;
        listener->accepted(client, listener->user);
        return G_SOURCE_CONTINUE; /* of no effect when it was paused */
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
        return G_SOURCE_CONTINUE;
    }
    if (!listener->complained) {
        listener->complained = TRUE;
        dinv_log(DINV_LOG_WARNING, "cannot accept a connection on \"%s\": %s, trying again",
                 listener->name, g_strerror(errno));
    }
    listener->source = g_timeout_add(RETRY_MS, listener_on_retry, listener);
    return G_SOURCE_REMOVE;
}

void dinv_listener_accept_to(DinvListener *listener, void (*accepted)(int fd, gpointer user),
                             gpointer user) {
    listener->accepted = accepted;
    listener->user = user;
    if (listener->source == 0) {
        listener->source = g_unix_fd_add(listener->fd, G_IO_IN, listener_on_connection, listener);
    }
}

void dinv_listener_pause(DinvListener *listener) {
    g_clear_handle_id(&listener->source, g_source_remove);
}

void dinv_listener_free(DinvListener *listener) {
    if (listener == NULL) {
        return;
    }
    g_clear_handle_id(&listener->source, g_source_remove);
    (void)close(listener->fd);
    struct stat now;
    if (listener->is_path && lstat(listener->name, &now) == 0 &&
        now.st_ino == listener->identity.st_ino && now.st_dev == listener->identity.st_dev) {
        (void)unlink(listener->name);
    }
    g_free(listener->name);
    g_free(listener);
}

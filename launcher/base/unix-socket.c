/* SPDX-License-Identifier: MIT */
/* The client's side of unix sockets; listener.c has the other one. */
#include "launcher/base/unix-socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int dinv_unix_socket_set_address(struct sockaddr_un *address, const char *path) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (g_strlcpy(address->sun_path, path, sizeof address->sun_path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

static void close_keeping_errno(int fd) {
    int code = errno;
    (void)close(fd);
    errno = code;
}

int dinv_unix_socket_connect(const char *path, guint timeout_s) {
    const struct timeval limit = {.tv_sec = (time_t)timeout_s};
    struct sockaddr_un address;
    if (dinv_unix_socket_set_address(&address, path) < 0) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
                    connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

int dinv_unix_socket_is_alive(const char *path) {
    struct sockaddr_un address;
    if (dinv_unix_socket_set_address(&address, path) < 0) {
        return -errno;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int code = connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    (void)close(fd);
    if (code == 0 || code == EAGAIN) {
        return 1;
    }
    return code == ECONNREFUSED ? 0 : -code;
}

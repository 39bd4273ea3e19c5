/* SPDX-License-Identifier: MIT */
/* Unix sockets with a path, and clients, for tests. */
#pragma once

#include <glib.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A socket of the address `path`, for bind or connect. */
static inline int unix_port_make(const char *path,
                                 int (*attach)(int fd, const struct sockaddr *address,
                                               socklen_t length)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(attach(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

/* One that is listened at. */
static inline int unix_port_listen(const char *path) {
    int fd = unix_port_make(path, bind);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

/* A connection to the one that is there. */
static inline int unix_port_connect(const char *path) {
    return unix_port_make(path, connect);
}

/* SPDX-License-Identifier: MIT */
/* Connecting to the engine, with a limit on every call. */
#include "launcher/cli/engine-client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "launcher/base/unix-socket.h"

#define TIMEOUT_S 5

int dinv_cli_engine_connect(const char *path) {
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    int fd = dinv_unix_socket_connect(path, TIMEOUT_S);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

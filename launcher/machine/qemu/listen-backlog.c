/* SPDX-License-Identifier: MIT */
/*
 * What QEMU is preloaded with (preload.h): a listen() with a queue. SLIRP listens with a
 * backlog of 1, so of a few clients that connect to a forwarded port at once all but the first two
 * would be dropped by the kernel, and try again after a second, after two, after four.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's own most, net.core.somaxconn, where nobody has set another. */
#define BACKLOG 4096

int listen(int fd, int n) {
    return (int)syscall(SYS_listen, fd, n < BACKLOG ? BACKLOG : n);
}

/* SPDX-License-Identifier: MIT */
/* A loop of the guest whose children are collected as process 1 does it, with deadlines. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/base/loop.h"

#define HARNESS_DEADLINE_S 60

typedef struct {
    DinvLoop *loop;
    int signal_fd;
} Harness;

static inline void harness_signal(void *user, int fd, short revents) {
    (void)revents;
    Harness *harness = user;
    struct signalfd_siginfo info[8];
    while (read(fd, info, sizeof info) > 0) {
        ;
    }
    (void)dinv_loop_reap(harness->loop);
}

static inline void harness_init(Harness *harness) {
    (void)signal(SIGPIPE, SIG_IGN);
    harness->loop = dinv_loop_new();
    g_assert_nonnull(harness->loop);
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    g_assert_cmpint(sigprocmask(SIG_BLOCK, &signals, NULL), ==, 0);
    harness->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    g_assert_cmpint(harness->signal_fd, >=, 0);
    g_assert_cmpint(
        dinv_loop_watch(harness->loop, harness->signal_fd, POLLIN, harness_signal, harness), ==, 0);
}

static inline void harness_clear(Harness *harness) {
    dinv_loop_unwatch(harness->loop, harness->signal_fd);
    close(harness->signal_fd);
    dinv_loop_free(harness->loop);
}

/* Where a program of the guest would listen, in a process that takes its place. -1 on failure. */
static inline int harness_listen(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0 ? fd
                                                                                             : -1;
}

/* Runs the loop until the condition holds; fails the test after the deadline. */
static inline void harness_run_until(Harness *harness, bool (*condition)(void *user), void *user) {
    gint64 deadline = g_get_monotonic_time() + (gint64)HARNESS_DEADLINE_S * G_USEC_PER_SEC;
    while (!condition(user)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_assert_cmpint(dinv_loop_iterate(harness->loop, 100), ==, 0);
    }
}

static inline void harness_socketpair(int ends[2]) {
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), ==,
                    0);
}

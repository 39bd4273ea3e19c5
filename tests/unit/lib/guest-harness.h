/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the rooms of guest/ share: a loop with children collected as process 1 does it,
 * and a launcher at the other end of a relay.
 */
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

#include "guest/base/log.h"
#include "guest/base/loop.h"
#include "guest/channels/port.h"
#include "relay/mux.h"
#include "tests/unit/lib/relay-pull.h"

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
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0 ? fd
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

/* The launcher's end of a relay, in the same loop. */
typedef struct {
    DinvChannelPort *port;
    DinvRelayMux *mux;
    DinvTimer *flush;
    size_t start;
    size_t len;
    uint8_t bytes[64 * 1024];
} Launcher;

static inline void launcher_flush(void *user) {
    Launcher *launcher = user;
    for (;;) {
        while (launcher->start < launcher->len) {
            ssize_t written = dinv_channel_port_write(
                launcher->port, launcher->bytes + launcher->start, launcher->len - launcher->start);
            if (written < 0) {
                return;
            }
            launcher->start += (size_t)written;
        }
        ssize_t pulled = relay_pull(launcher->mux, launcher->bytes, sizeof launcher->bytes);
        g_assert_cmpint(pulled, >=, 0);
        launcher->start = 0;
        launcher->len = (size_t)pulled;
        if (pulled == 0) {
            return;
        }
    }
}

/* To be called after any stream function. */
static inline void launcher_kick(Launcher *launcher) {
    dinv_timer_set(launcher->flush, 0);
}

static inline void launcher_received(void *user, const uint8_t *bytes, size_t len) {
    Launcher *launcher = user;
    g_assert_cmpint(dinv_relay_mux_feed(launcher->mux, bytes, len), ==, 0);
    launcher_kick(launcher);
}

static inline void launcher_connected(void *user) {
    launcher_kick(user);
}

static inline void launcher_disconnected(void *user) {
    (void)user;
}

static inline Launcher *launcher_new(DinvLoop *loop, int fd, const DinvRelayCallbacks *callbacks,
                                     void *user) {
    static const DinvChannelPortCallbacks port_callbacks = {
        .connected = launcher_connected,
        .disconnected = launcher_disconnected,
        .received = launcher_received,
        .writable = launcher_flush,
    };
    Launcher *launcher = g_new0(Launcher, 1);
    launcher->mux = dinv_relay_mux_new(DINV_RELAY_LAUNCHER, g_random_int(), NULL, callbacks, user);
    launcher->flush = dinv_timer_new(loop, launcher_flush, launcher);
    launcher->port = dinv_channel_port_new(loop, fd, &port_callbacks, launcher);
    g_assert_nonnull(launcher->mux);
    g_assert_nonnull(launcher->port);
    return launcher;
}

static inline void launcher_free(Launcher *launcher) {
    dinv_channel_port_free(launcher->port);
    dinv_timer_free(launcher->flush);
    dinv_relay_mux_free(launcher->mux);
    g_free(launcher);
}

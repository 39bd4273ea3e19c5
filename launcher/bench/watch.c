/* SPDX-License-Identifier: MIT */
/* One poll(2) for the descriptor and the signals. */
#include "launcher/bench/watch.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "launcher/base/wait-status.h"

double dinv_bench_seconds_since(gint64 begin_us) {
    return (double)(g_get_monotonic_time() - begin_us) / 1e6;
}

static void look_for_end(DinvBenchWatch *watch) {
    int status = 0;
    if (watch->machine > 0 && !watch->machine_has_ended &&
        waitpid(watch->machine, &status, WNOHANG) == watch->machine) {
        watch->machine_has_ended = TRUE;
        watch->machine_status = dinv_wait_status_to_exit_status(status);
    }
}

static void take_signals(DinvBenchWatch *watch) {
    struct signalfd_siginfo info;
    while (read(watch->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            watch->stopped_by = (int)info.ssi_signo;
        }
    }
    look_for_end(watch);
}

gboolean dinv_bench_watch_check(DinvBenchWatch *watch, GError **error) {
    take_signals(watch);
    if (watch->stopped_by != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped by signal %d",
                    watch->stopped_by);
        return FALSE;
    }
    if (watch->machine_has_ended) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                    "the microVM ended with exit status %d; why is said above",
                    watch->machine_status);
        return FALSE;
    }
    if (g_get_monotonic_time() >= watch->deadline_us) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "not done in time");
        return FALSE;
    }
    return TRUE;
}

/* Waits once, at most `most_ms` and until the deadline; whether the descriptor (-1: none) is ready.
 */
static gboolean wait_once(DinvBenchWatch *watch, int fd, short events, gint64 most_ms) {
    struct pollfd fds[] = {{.fd = fd, .events = events},
                           {.fd = watch->signal_fd, .events = POLLIN}};
    gint64 left_ms = (watch->deadline_us - g_get_monotonic_time() + 999) / 1000;
    int ready = poll(fds, G_N_ELEMENTS(fds), (int)CLAMP(left_ms, 0, most_ms));
    return ready > 0 && fds[0].revents != 0;
}

gboolean dinv_bench_watch_wait(DinvBenchWatch *watch, int fd, short events, GError **error) {
    while (dinv_bench_watch_check(watch, error)) {
        if (wait_once(watch, fd, events, G_MAXINT)) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean dinv_bench_watch_pause(DinvBenchWatch *watch, guint milliseconds, GError **error) {
    gint64 end_us = g_get_monotonic_time() + (gint64)milliseconds * 1000;
    gint64 left_us = 0;
    while ((left_us = end_us - g_get_monotonic_time()) > 0) {
        if (!dinv_bench_watch_check(watch, error)) {
            return FALSE;
        }
        (void)wait_once(watch, -1, 0, (left_us + 999) / 1000);
    }
    return TRUE;
}

gboolean dinv_bench_watch_wait_for_end(DinvBenchWatch *watch) {
    take_signals(watch);
    while (!watch->machine_has_ended && g_get_monotonic_time() < watch->deadline_us) {
        (void)wait_once(watch, -1, 0, G_MAXINT);
        take_signals(watch);
    }
    return watch->machine_has_ended;
}

gssize dinv_bench_watch_read(DinvBenchWatch *watch, int fd, void *bytes, gsize size,
                             GError **error) {
    while (dinv_bench_watch_wait(watch, fd, POLLIN, error)) {
        ssize_t got = read(fd, bytes, size);
        if (got >= 0) {
            return got;
        }
        if (errno != EAGAIN && errno != EINTR) {
            g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "cannot read: %s",
                        g_strerror(errno));
            return -1;
        }
    }
    return -1;
}

gboolean dinv_bench_watch_write(DinvBenchWatch *watch, int fd, const void *bytes, gsize length,
                                GError **error) {
    const char *cursor = bytes;
    while (length > 0) {
        if (!dinv_bench_watch_wait(watch, fd, POLLOUT, error)) {
            return FALSE;
        }
        ssize_t written = write(fd, cursor, length);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "cannot write: %s",
                        g_strerror(errno));
            return FALSE;
        }
        cursor += MAX(written, 0);
        length -= (gsize)MAX(written, 0);
    }
    return TRUE;
}

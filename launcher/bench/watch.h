/* SPDX-License-Identifier: MIT */
/*
 * Waiting: for a descriptor, but no longer than the deadline, the machine or the user's patience
 * last. Every wait of this room is one of these.
 *
 * They fail with G_IO_ERROR_TIMED_OUT after the deadline, G_IO_ERROR_CANCELLED when a signal asked
 * us to stop, and G_IO_ERROR_CLOSED when the machine has ended. Descriptors are nonblocking.
 */
#pragma once

#include <glib.h>
#include <signal.h>
#include <sys/types.h>

typedef struct {
    int signal_fd;           /* of SIGCHLD and of the signals that stop us */
    sigset_t signals_before; /* what was blocked before these were: for children */
    int stopped_by;          /* the signal that came; 0: none */
    gint64 deadline_us;      /* monotonic */
    pid_t machine;           /* the process `dinv run`, a child of ours; 0: none */
    gboolean machine_has_ended;
    int machine_status; /* its exit status then, as a shell has it */
} DinvBenchWatch;

/* FALSE if it is time to give up. Does not block. */
gboolean dinv_bench_watch_check(DinvBenchWatch *watch, GError **error);

/* Until poll(2) reports one of `events`, an error or a hang-up. */
gboolean dinv_bench_watch_wait(DinvBenchWatch *watch, int fd, short events, GError **error);
/* For some milliseconds. */
gboolean dinv_bench_watch_pause(DinvBenchWatch *watch, guint milliseconds, GError **error);
/* Until the machine has ended or the deadline passed; signals do not matter. Whether it ended. */
gboolean dinv_bench_watch_wait_for_end(DinvBenchWatch *watch);

/* The number of bytes read, 0 at the end, -1 on failure. */
gssize dinv_bench_watch_read(DinvBenchWatch *watch, int fd, void *bytes, gsize size,
                             GError **error);
/* Writes all. */
gboolean dinv_bench_watch_write(DinvBenchWatch *watch, int fd, const void *bytes, gsize length,
                                GError **error);

/* Seconds since `begin_us` (monotonic). */
double dinv_bench_seconds_since(gint64 begin_us);

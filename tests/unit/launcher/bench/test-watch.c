/* SPDX-License-Identifier: MIT */
/* Waits that end for every reason they have. A pipe plays the descriptor of signals. */
#include "launcher/bench/watch.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FAR_US (G_GINT64_CONSTANT(60) * 1000000)

typedef struct {
    DinvBenchWatch watch;
    int signals; /* the pipe's other end */
    int ends[2]; /* of a pipe to wait for */
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int signals[2];
    g_assert_true(g_unix_open_pipe(signals, FD_CLOEXEC, NULL));
    g_assert_true(g_unix_open_pipe(fixture->ends, FD_CLOEXEC, NULL));
    g_assert_true(g_unix_set_fd_nonblocking(signals[0], TRUE, NULL));
    g_assert_true(g_unix_set_fd_nonblocking(fixture->ends[0], TRUE, NULL));
    g_assert_true(g_unix_set_fd_nonblocking(fixture->ends[1], TRUE, NULL));
    fixture->signals = signals[1];
    fixture->watch =
        (DinvBenchWatch){.signal_fd = signals[0], .deadline_us = g_get_monotonic_time() + FAR_US};
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    close(fixture->watch.signal_fd);
    close(fixture->signals);
    close(fixture->ends[0]);
    if (fixture->ends[1] >= 0) {
        close(fixture->ends[1]);
    }
}

static void send_signal(const Fixture *fixture, guint32 number) {
    struct signalfd_siginfo info = {.ssi_signo = number};
    g_assert_cmpint(write(fixture->signals, &info, sizeof info), ==, sizeof info);
}

static void expect(Fixture *fixture, GIOErrorEnum code) {
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_bench_watch_wait(&fixture->watch, fixture->ends[0], POLLIN, &error));
    g_assert_error(error, G_IO_ERROR, (gint)code);
}

static void test_bytes(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    char bytes[8] = "";
    g_assert_true(dinv_bench_watch_write(&fixture->watch, fixture->ends[1], "abc", 3, &error));
    g_assert_cmpint(dinv_bench_watch_read(&fixture->watch, fixture->ends[0], bytes, 8, &error), ==,
                    3);
    g_assert_cmpstr(bytes, ==, "abc");
    close(fixture->ends[1]);
    fixture->ends[1] = -1;
    g_assert_cmpint(dinv_bench_watch_read(&fixture->watch, fixture->ends[0], bytes, 8, &error), ==,
                    0);
    g_assert_no_error(error);
}

static void test_deadline(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    gint64 begin_us = g_get_monotonic_time();
    fixture->watch.deadline_us = begin_us + 20000;
    expect(fixture, G_IO_ERROR_TIMED_OUT);
    g_assert_cmpint(g_get_monotonic_time(), >=, begin_us + 20000);
    g_assert_cmpint(dinv_bench_watch_read(&fixture->watch, fixture->ends[0], NULL, 0, NULL), ==,
                    -1);
    g_assert_false(dinv_bench_watch_pause(&fixture->watch, 1, NULL));
}

static void test_pause(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    gint64 begin_us = g_get_monotonic_time();
    g_assert_true(dinv_bench_watch_pause(&fixture->watch, 20, NULL));
    g_assert_cmpint(g_get_monotonic_time(), >=, begin_us + 20000);
}

static void test_signal(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    send_signal(fixture, SIGINT);
    expect(fixture, G_IO_ERROR_CANCELLED);
    g_assert_cmpint(fixture->watch.stopped_by, ==, SIGINT);
    expect(fixture, G_IO_ERROR_CANCELLED); /* for good */
}

/* Whoever ends wakes the wait; only the machine ends it. */
static void test_machine_ends(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int held[2];
    g_assert_true(g_unix_open_pipe(held, 0, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(held[1]);
        _exit(read(held[0], &byte, 1) == 0 ? 3 : 4);
    }
    close(held[0]);
    fixture->watch.machine = pid;
    send_signal(fixture, SIGCHLD);
    g_assert_true(dinv_bench_watch_check(&fixture->watch, NULL));
    close(held[1]);
    siginfo_t info;
    g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    send_signal(fixture, SIGCHLD);
    expect(fixture, G_IO_ERROR_CLOSED);
    g_assert_true(dinv_bench_watch_wait_for_end(&fixture->watch));
    g_assert_cmpint(fixture->watch.machine_status, ==, 3);
}

static void test_machine_stays(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->watch.machine = getpid(); /* no child of ours, so it is never reaped */
    fixture->watch.deadline_us = g_get_monotonic_time() + 20000;
    send_signal(fixture, SIGTERM); /* does not matter */
    g_assert_false(dinv_bench_watch_wait_for_end(&fixture->watch));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define WATCH_TEST(name, function)                                                                 \
    g_test_add("/bench/watch/" name, Fixture, NULL, set_up, function, tear_down)
    WATCH_TEST("bytes", test_bytes);
    WATCH_TEST("deadline", test_deadline);
    WATCH_TEST("pause", test_pause);
    WATCH_TEST("signal", test_signal);
    WATCH_TEST("machine-ends", test_machine_ends);
    WATCH_TEST("machine-stays", test_machine_stays);
    return g_test_run();
}

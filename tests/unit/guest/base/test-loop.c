/* SPDX-License-Identifier: MIT */
/* The loop: stale events, fairness, children. */
#include "tests/unit/lib/guest-harness.h"

#include <sys/wait.h>

typedef struct {
    Harness harness;
    int ends[2];
    int other[2];
    int calls;
    DinvTimer *timers[2];
    GString *order;
    int wait_status;
    bool done;
} Loop;

static void loop_set_up(Loop *loop, gconstpointer data) {
    (void)data;
    harness_init(&loop->harness);
    harness_socketpair(loop->ends);
    loop->order = g_string_new(NULL);
}

static void loop_tear_down(Loop *loop, gconstpointer data) {
    (void)data;
    close(loop->ends[0]);
    close(loop->ends[1]);
    g_string_free(loop->order, TRUE);
    harness_clear(&loop->harness);
}

static void loop_unexpected(void *user, int fd, short revents) {
    (void)user;
    (void)fd;
    (void)revents;
    g_assert_not_reached();
}

/* Closes the other, which is ready as well, and opens another under its number. */
static void loop_replace(void *user, int fd, short revents) {
    (void)revents;
    Loop *loop = user;
    loop->calls++;
    int victim = fd == loop->ends[0] ? loop->other[0] : loop->ends[0];
    dinv_loop_unwatch(loop->harness.loop, victim);
    int fresh[2];
    harness_socketpair(fresh);
    g_assert_cmpint(dup3(fresh[0], victim, O_CLOEXEC), ==, victim);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, victim, POLLIN, loop_unexpected, loop), ==,
                    0);
    close(fresh[0]);
    loop->done = true;
    dinv_loop_unwatch(loop->harness.loop, fd);
    /* `fresh[1]` stays open, so that nothing is ready at the new one. */
    loop->wait_status = fresh[1];
}

static void test_loop_stale_event(Loop *loop, gconstpointer data) {
    (void)data;
    harness_socketpair(loop->other);
    g_assert_cmpint(write(loop->ends[1], "x", 1), ==, 1);
    g_assert_cmpint(write(loop->other[1], "x", 1), ==, 1);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->ends[0], POLLIN, loop_replace, loop),
                    ==, 0);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->other[0], POLLIN, loop_replace, loop),
                    ==, 0);
    g_assert_cmpint(dinv_loop_iterate(loop->harness.loop, 1000), ==, 0);
    g_assert_cmpint(loop->calls, ==, 1);
    close(loop->wait_status);
    close(loop->other[0]);
    close(loop->other[1]);
}

static void loop_ready(void *user, int fd, short revents) {
    (void)fd;
    (void)revents;
    Loop *loop = user;
    g_string_append_c(loop->order, 'f');
}

static void loop_timer(void *user) {
    Loop *loop = user;
    g_string_append_c(loop->order, 't');
    dinv_timer_set(loop->timers[1], 0);
}

static void loop_other_timer(void *user) {
    Loop *loop = user;
    g_string_append_c(loop->order, 'o');
    dinv_timer_set(loop->timers[0], 0);
}

/* Two timers that set each other to 0 keep no descriptor waiting. */
static void test_loop_timers_are_fair(Loop *loop, gconstpointer data) {
    (void)data;
    g_assert_cmpint(write(loop->ends[1], "x", 1), ==, 1);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->ends[0], POLLIN, loop_ready, loop),
                    ==, 0);
    loop->timers[0] = dinv_timer_new(loop->harness.loop, loop_timer, loop);
    loop->timers[1] = dinv_timer_new(loop->harness.loop, loop_other_timer, loop);
    dinv_timer_set(loop->timers[0], 0);
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(dinv_loop_iterate(loop->harness.loop, 1000), ==, 0);
    }
    g_assert_cmpstr(loop->order->str, ==, "ftfoftfo");
    dinv_timer_free(loop->timers[0]);
    dinv_timer_free(loop->timers[1]);
    dinv_loop_unwatch(loop->harness.loop, loop->ends[0]);
}

static void loop_child(void *user, pid_t pid, int wait_status) {
    (void)pid;
    Loop *loop = user;
    loop->wait_status = wait_status;
    loop->done = true;
}

static bool loop_is_done(void *user) {
    return ((Loop *)user)->done;
}

static void test_loop_children(Loop *loop, gconstpointer data) {
    (void)data;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(42);
    }
    g_assert_cmpint(dinv_loop_watch_child(loop->harness.loop, pid, loop_child, loop), ==, 0);
    harness_run_until(&loop->harness, loop_is_done, loop);
    g_assert_cmpint(WEXITSTATUS(loop->wait_status), ==, 42);
    g_assert_false(dinv_loop_reap(loop->harness.loop));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/loop/stale-event", Loop, NULL, loop_set_up, test_loop_stale_event,
               loop_tear_down);
    g_test_add("/guest/loop/timers-are-fair", Loop, NULL, loop_set_up, test_loop_timers_are_fair,
               loop_tear_down);
    g_test_add("/guest/loop/children", Loop, NULL, loop_set_up, test_loop_children, loop_tear_down);
    return g_test_run();
}

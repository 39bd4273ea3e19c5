/* SPDX-License-Identifier: MIT */
/* A worker has the descriptors that it was given and no others, and ordinary signals. */
#include "guest/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000 };

typedef struct {
    int given[2];  /* the worker has the writing end */
    int hold[2];   /* and the reading end of this, whose end it waits for */
    int others[2]; /* these it must not have */
} Pipes;

static void make_pipes(Pipes *pipes) {
    g_assert_cmpint(pipe2(pipes->given, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(pipes->hold, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(pipes->others, O_CLOEXEC), ==, 0);
}

static int exit_status(pid_t pid) {
    int wait_status = 0;
    g_assert_cmpint(waitpid(pid, &wait_status, 0), ==, pid);
    g_assert_true(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}

/* Says that it runs, then stays until nobody holds the other pipe open for it. */
static int say_and_stay(void *user) {
    const Pipes *pipes = user;
    char byte = 'x';
    if (write(pipes->given[1], &byte, 1) != 1 || read(pipes->hold[0], &byte, 1) != 0) {
        return 1;
    }
    return 7;
}

static void wait_readable(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    g_assert_cmpint(poll(&poll_fd, 1, DEADLINE_MS), ==, 1);
}

static void test_closes_the_others(void) {
    Pipes pipes;
    pid_t pid = 0;
    char byte = 0;
    make_pipes(&pipes);
    /* Not in order, as they come. */
    const int fds[] = {pipes.hold[0], pipes.given[1]};
    g_assert_cmpint(dinv_process_fork_worker(say_and_stay, &pipes, fds, G_N_ELEMENTS(fds), &pid),
                    ==, 0);
    wait_readable(pipes.given[0]);
    g_assert_cmpint(read(pipes.given[0], &byte, 1), ==, 1);
    /* While it runs, the reader of a pipe that is closed here sees the end of it. */
    close(pipes.others[1]);
    wait_readable(pipes.others[0]);
    g_assert_cmpint(read(pipes.others[0], &byte, 1), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, 0);
    close(pipes.hold[1]);
    g_assert_cmpint(exit_status(pid), ==, 7);
    close(pipes.hold[0]);
    close(pipes.given[0]);
    close(pipes.given[1]);
    close(pipes.others[0]);
}

/* The number of open descriptors from 0 to 1023; /proc cannot be looked at without one more. */
static int count_fds(void *user G_GNUC_UNUSED) {
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void test_counts(void) {
    const int fds[] = {STDERR_FILENO, STDOUT_FILENO};
    const int too_many[DINV_WORKER_FDS_MAX + 1] = {0};
    for (gsize count = 0; count <= G_N_ELEMENTS(fds); count++) {
        pid_t pid = 0;
        g_assert_cmpint(dinv_process_fork_worker(count_fds, NULL, fds, count, &pid), ==, 0);
        g_assert_cmpint(exit_status(pid), ==, (int)count);
    }
    pid_t untouched = -7;
    g_assert_cmpint(
        dinv_process_fork_worker(count_fds, NULL, too_many, G_N_ELEMENTS(too_many), &untouched), ==,
        -EINVAL);
    g_assert_cmpint(untouched, ==, -7);
}

/* How many of SIGTERM and SIGPIPE are not as a program finds them at its start. */
static int count_odd_signals(void *user G_GNUC_UNUSED) {
    sigset_t blocked;
    struct sigaction action = {0};
    int count = sigprocmask(SIG_SETMASK, NULL, &blocked) == 0 ? 0 : 100;
    count += sigismember(&blocked, SIGTERM);
    count += sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL ? 0 : 10;
    return count;
}

static void test_signals(void) {
    sigset_t blocked;
    sigset_t before;
    pid_t pid = 0;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    g_assert_cmpint(sigprocmask(SIG_BLOCK, &blocked, &before), ==, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    g_assert_cmpint(dinv_process_fork_worker(count_odd_signals, NULL, NULL, 0, &pid), ==, 0);
    g_assert_cmpint(exit_status(pid), ==, 0);
    g_assert_cmpint(sigprocmask(SIG_SETMASK, &before, NULL), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/process/worker/closes-the-others", test_closes_the_others);
    g_test_add_func("/guest/process/worker/counts", test_counts);
    g_test_add_func("/guest/process/worker/signals", test_signals);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * The duties of PID 1, in a PID namespace of the test's own. Making one needs root, or user
 * namespaces; where neither is to be had (the default seccomp profile of Docker refuses both) the
 * tests are skipped, and with DINV_MUST_WORK=1 that is a failure.
 */
#include "launcher/cli/init.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 30000

typedef struct {
    pid_t pid;  /* of PID 1, as seen from here */
    int output; /* what `child` writes to descriptor 3 */
} Contained;

static gboolean make_namespace(void) {
    return unshare(CLONE_NEWPID) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
}

static gboolean can_make_namespace(void) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(make_namespace() ? 0 : 1);
    }
    int status = 0;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status == 0;
}

static gboolean must_skip(void) {
    if (can_make_namespace()) {
        return FALSE;
    }
    if (g_strcmp0(g_getenv("DINV_MUST_WORK"), "1") == 0) {
        g_test_fail_printf("no PID namespace can be made here, and DINV_MUST_WORK is set");
    } else {
        g_test_skip("no PID namespace can be made here");
    }
    return TRUE;
}

/* PID 1 of a new namespace splits, and `child` runs in its child. Between is a process that made
 * the namespace and passes on how PID 1 ended: as itself, by the same status or 200 + signal. */
static Contained contain(int (*child)(void)) {
    int output[2];
    int pids[2];
    pid_t pid = 0;
    g_assert_cmpint(pipe2(output, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(pids, O_CLOEXEC), ==, 0);
    pid_t maker = fork();
    if (maker == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        pid_t init = make_namespace() ? fork() : -1;
        if (init == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)dup2(output[1], 3);
            dinv_cli_init_split();
            _exit(child());
        }
        (void)close(output[1]);
        (void)!write(pids[1], &init, sizeof init);
        int status = 0;
        if (init < 0 || waitpid(init, &status, 0) != init) {
            _exit(99);
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status));
    }
    close(output[1]);
    close(pids[1]);
    g_assert_cmpint(read(pids[0], &pid, sizeof pid), ==, sizeof pid);
    g_assert_cmpint(pid, >, 0);
    close(pids[0]);
    return (Contained){.pid = pid, .output = output[0]};
}

/* The next byte that the child said, '\0' when nothing will come any more. */
static char hear(const Contained *contained) {
    struct pollfd poll_fd = {.fd = contained->output, .events = POLLIN};
    char byte = '\0';
    g_assert_cmpint(poll(&poll_fd, 1, DEADLINE_MS), ==, 1);
    (void)!read(contained->output, &byte, 1); /* nothing at the end */
    return byte;
}

static void say(char byte) {
    (void)!write(3, &byte, 1);
}

static int await_end(const Contained *contained) {
    int status = 0;
    g_assert_cmpint(waitpid(-1, &status, 0), >, 0);
    close(contained->output);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- Exit statuses --- */

static int child_exits(void) {
    return getpid() == 2 ? 42 : 1;
}

static int child_is_killed(void) {
    (void)raise(SIGKILL);
    return 1;
}

static void test_status(void) {
    if (must_skip()) {
        return;
    }
    Contained contained = contain(child_exits);
    g_assert_cmpint(await_end(&contained), ==, 42);
    contained = contain(child_is_killed);
    g_assert_cmpint(await_end(&contained), ==, 128 + SIGKILL);
}

/* --- Signals --- */

static volatile sig_atomic_t signals_seen;

static void on_signal(int number) {
    signals_seen = signals_seen + (number == SIGTERM ? 1 : 10);
}

static int child_counts_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t mask;
    sigset_t none;
    sigemptyset(&none);
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    /* The split left no signal blocked. */
    sigset_t before;
    (void)sigprocmask(SIG_BLOCK, &mask, &before);
    for (int number = 1; number < NSIG; number++) {
        if (sigismember(&before, number) == 1) {
            return 70;
        }
    }
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    say('r');
    while (signals_seen != 11) {
        (void)sigsuspend(&none);
        say('s');
    }
    return 5;
}

static void test_signals(void) {
    if (must_skip()) {
        return;
    }
    Contained contained = contain(child_counts_signals);
    g_assert_cmpint(hear(&contained), ==, 'r');
    g_assert_cmpint(kill(contained.pid, SIGTERM), ==, 0);
    g_assert_cmpint(hear(&contained), ==, 's');
    g_assert_cmpint(kill(contained.pid, SIGUSR1), ==, 0);
    g_assert_cmpint(hear(&contained), ==, 's');
    g_assert_cmpint(await_end(&contained), ==, 5);
}

static int child_dies_of_signals(void) {
    say('r');
    (void)pause();
    return 1;
}

static void test_deadly_signal(void) {
    if (must_skip()) {
        return;
    }
    Contained contained = contain(child_dies_of_signals);
    g_assert_cmpint(hear(&contained), ==, 'r');
    g_assert_cmpint(kill(contained.pid, SIGINT), ==, 0);
    g_assert_cmpint(await_end(&contained), ==, 128 + SIGINT);
}

/* --- Children --- */

/* Whether no process but PID 1 and this one is left, dead or alive: the pids are small here. */
static gboolean are_all_reaped(void) {
    for (pid_t pid = 3; pid < 400; pid++) {
        if (kill(pid, 0) == 0) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Orphans, by the dozen: whoever forks and ends leaves a child to PID 1. */
static int child_makes_orphans(void) {
    for (guint i = 0; i < 60; i++) {
        pid_t parent = fork();
        if (parent == 0) {
            if (fork() == 0) {
                _exit((int)i);
            }
            _exit(0);
        }
        if (waitpid(parent, NULL, 0) != parent) {
            return 71;
        }
    }
    /* Their parents are reaped by us; they themselves by PID 1, soon. */
    for (guint i = 0; i < DEADLINE_MS && !are_all_reaped(); i++) {
        (void)usleep(1000);
    }
    return are_all_reaped() ? 6 : 72;
}

static void test_orphans(void) {
    if (must_skip()) {
        return;
    }
    Contained contained = contain(child_makes_orphans);
    g_assert_cmpint(await_end(&contained), ==, 6);
}

/* A child that stops has not ended. */
static int child_stops(void) {
    pid_t waker = fork();
    if (waker == 0) {
        /* PID 1 hears of the stop; then the child goes on. */
        (void)kill(2, SIGSTOP);
        say('s');
        (void)kill(2, SIGCONT);
        _exit(0);
    }
    (void)waitpid(waker, NULL, 0);
    return 8;
}

static void test_stopped_child(void) {
    if (must_skip()) {
        return;
    }
    Contained contained = contain(child_stops);
    g_assert_cmpint(hear(&contained), ==, 's');
    g_assert_cmpint(await_end(&contained), ==, 8);
}

/* --- Not PID 1; descriptors --- */

static void test_not_pid_1(void) {
    pid_t before = getpid();
    dinv_cli_init_split();
    g_assert_cmpint(getpid(), ==, before);
}

/* Exits 0 if stdin, stdout and stderr are there afterwards, and 9 with what was in it. */
static void test_descriptors(void) {
    pid_t pid = fork();
    if (pid == 0) {
        struct stat null;
        struct stat now;
        int error = dup2(STDERR_FILENO, 9) == 9 ? 0 : 1;
        (void)close(STDIN_FILENO);
        (void)close(STDERR_FILENO);
        dinv_cli_init_descriptors();
        error |= stat("/dev/null", &null);
        for (int fd = 0; fd <= 2; fd += 2) {
            error |= fstat(fd, &now) != 0 || now.st_rdev != null.st_rdev ? 2 : 0;
        }
        int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        error |= next > 2 && fcntl(STDOUT_FILENO, F_GETFD) == 0 ? 0 : 4;
        dinv_cli_init_descriptors();
        int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _exit(error | (after == next + 1 ? 0 : 8));
    }
    int status = 0;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/init/status", test_status);
    g_test_add_func("/launcher/init/signals", test_signals);
    g_test_add_func("/launcher/init/deadly-signal", test_deadly_signal);
    g_test_add_func("/launcher/init/orphans", test_orphans);
    g_test_add_func("/launcher/init/stopped-child", test_stopped_child);
    g_test_add_func("/launcher/init/not-pid-1", test_not_pid_1);
    g_test_add_func("/launcher/init/descriptors", test_descriptors);
    return g_test_run();
}

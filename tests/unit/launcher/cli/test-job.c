/* SPDX-License-Identifier: MIT */
/* Job mode: what the command finds, how it ends, and that none is left behind. */
#include "launcher/cli/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

#define SOCKET_PATH "/run/some dir/docker.sock"

typedef struct {
    guint ends;
    int status; /* of the end, or of a start that failed */
} Outcome;

static void on_ended(int status, gpointer user) {
    Outcome *outcome = user;
    outcome->ends++;
    outcome->status = status;
}

static DinvCliJob *start_shell(const char *script, Outcome *outcome) {
    char *command[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    *outcome = (Outcome){.status = -1};
    DinvCliJob *job =
        dinv_cli_job_start(command, SOCKET_PATH, TRUE, on_ended, outcome, &outcome->status);
    g_assert_nonnull(job);
    return job;
}

static int run_shell(const char *script) {
    Outcome outcome;
    DinvCliJob *job = start_shell(script, &outcome);
    wait_until(outcome.ends > 0);
    dinv_cli_job_signal(job, SIGTERM); /* of one that ended: nothing */
    dinv_cli_job_free(job);
    g_assert_cmpuint(outcome.ends, ==, 1);
    return outcome.status;
}

static void test_status(void) {
    g_assert_cmpint(run_shell("exit 0"), ==, 0);
    g_assert_cmpint(run_shell("exit 3"), ==, 3);
    g_assert_cmpint(run_shell("exit 255"), ==, 255);
    g_assert_cmpint(run_shell("kill -TERM $$"), ==, 128 + SIGTERM);
    g_assert_cmpint(run_shell("kill -KILL $$"), ==, 128 + SIGKILL);
}

static int fail_to_start(const char *program) {
    char *command[] = {(char *)program, NULL};
    Outcome outcome = {0};
    g_assert_null(
        dinv_cli_job_start(command, SOCKET_PATH, TRUE, on_ended, &outcome, &outcome.status));
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpuint(outcome.ends, ==, 0);
    return outcome.status;
}

static void test_cannot_start(void) {
    Scratch scratch;
    scratch_make(&scratch);
    scratch_write(&scratch, "plain", "no program\n");
    g_autofree char *plain = scratch_path(&scratch, "plain");
    g_assert_cmpint(fail_to_start("/no/such/program"), ==, 127);
    g_assert_cmpint(fail_to_start("no-such-program-in-path"), ==, 127);
    g_assert_cmpint(fail_to_start(plain), ==, 126);
    g_assert_cmpint(fail_to_start(scratch.path), ==, 126);
    scratch_remove(&scratch);
}

/* What a start would say is said before; a program that can be run is not tried. */
static void test_check(void) {
    Scratch scratch;
    scratch_make(&scratch);
    scratch_write(&scratch, "plain", "no program\n");
    scratch_write(&scratch, "runs", "#!/bin/false\n");
    g_autofree char *plain = scratch_path(&scratch, "plain");
    g_autofree char *runs = scratch_path(&scratch, "runs");
    g_autofree char *before = g_strdup(g_getenv("PATH"));
    g_autofree char *path = g_strconcat(scratch.path, ":", before, NULL);
    g_assert_cmpint(g_chmod(runs, 0755), ==, 0);
    g_assert_cmpint(dinv_cli_job_check("/no/such/program"), ==, 127);
    g_assert_cmpint(dinv_cli_job_check("no-such-program-in-path"), ==, 127);
    g_assert_cmpint(dinv_cli_job_check("plain"), ==, 127);
    g_assert_cmpint(dinv_cli_job_check(plain), ==, 126);
    g_assert_cmpint(dinv_cli_job_check(scratch.path), ==, 126);
    g_assert_cmpint(dinv_cli_job_check(runs), ==, 0);
    g_assert_cmpint(dinv_cli_job_check("sh"), ==, 0);
    g_setenv("PATH", path, TRUE);
    g_assert_cmpint(dinv_cli_job_check("plain"), ==, 126);
    g_assert_cmpint(dinv_cli_job_check("runs"), ==, 0);
    g_setenv("PATH", before, TRUE);
    scratch_remove(&scratch);
}

static void test_environment(void) {
    g_setenv("DOCKER_HOST", "tcp://elsewhere", TRUE);
    g_setenv("DOCKER_CONTEXT", "elsewhere", TRUE);
    g_setenv("DOCKER_TLS_VERIFY", "1", TRUE);
    g_setenv("DOCKER_CERT_PATH", "/certs/client", TRUE);
    g_setenv("KEPT", "yes", TRUE);
    g_assert_cmpint(run_shell("test \"$DOCKER_HOST\" = 'unix://" SOCKET_PATH "' && test $KEPT = yes"
                              " && test -z \"$DOCKER_CONTEXT$DOCKER_TLS_VERIFY$DOCKER_CERT_PATH\""),
                    ==, 0);
    g_assert_cmpstr(g_getenv("DOCKER_HOST"), ==, "tcp://elsewhere");
    /* Ports that are published inside are open here, whatever address docker0 has. */
    g_unsetenv("TESTCONTAINERS_HOST_OVERRIDE");
    g_assert_cmpint(run_shell("test $TESTCONTAINERS_HOST_OVERRIDE = localhost"), ==, 0);
    g_setenv("TESTCONTAINERS_HOST_OVERRIDE", "mine", TRUE);
    g_assert_cmpint(run_shell("test $TESTCONTAINERS_HOST_OVERRIDE = mine"), ==, 0);
}

/* The command has stdin, stdout and stderr, no other descriptor of ours; no signal is blocked or
 * ignored for it that we block or ignore. */
static void test_inherits_nothing(void) {
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    g_assert_cmpint(sigprocmask(SIG_BLOCK, &set, &before), ==, 0);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec: somebody's mistake */
    g_autofree char *script =
        g_strdup_printf("test ! -e /proc/self/fd/%d && test -e /proc/self/fd/2 && "
                        "grep -q '^SigBlk:.0*$' /proc/self/status && kill -PIPE $$",
                        leak);
    g_assert_cmpint(run_shell(script), ==, 128 + SIGPIPE);
    close(leak);
    (void)signal(SIGPIPE, pipe_before);
    g_assert_cmpint(sigprocmask(SIG_SETMASK, &before, NULL), ==, 0);
}

static void test_signal(void) {
    Outcome outcome;
    int ends[2];
    char byte;
    /* Said when the trap is set. */
    g_assert_cmpint(pipe(ends), ==, 0);
    int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    g_assert_cmpint(dup2(ends[1], STDIN_FILENO), ==, STDIN_FILENO);
    DinvCliJob *job =
        start_shell("trap 'exit 9' TERM; echo >&0; while :; do sleep 0.05; done", &outcome);
    g_assert_cmpint(dup2(saved, STDIN_FILENO), ==, STDIN_FILENO);
    close(saved);
    close(ends[1]);
    g_assert_cmpint(read(ends[0], &byte, 1), ==, 1);
    dinv_cli_job_signal(job, SIGTERM);
    wait_until(outcome.ends > 0);
    g_assert_cmpint(outcome.status, ==, 9);
    dinv_cli_job_free(job);
    close(ends[0]);
}

/* Free kills what still runs, reaps it, and calls nobody. */
static void test_free_kills(void) {
    Outcome outcome;
    DinvCliJob *job = start_shell("trap '' TERM; exec sleep 1000", &outcome);
    dinv_cli_job_free(job);
    g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
    g_assert_cmpint(errno, ==, ECHILD);
    job = start_shell("exit 4", &outcome);
    siginfo_t info;
    g_assert_cmpint(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), ==, 0);
    dinv_cli_job_free(job); /* it has ended, and the loop does not know yet */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpuint(outcome.ends, ==, 0);
    dinv_cli_job_free(NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/job/status", test_status);
    g_test_add_func("/launcher/job/cannot-start", test_cannot_start);
    g_test_add_func("/launcher/job/check", test_check);
    g_test_add_func("/launcher/job/environment", test_environment);
    g_test_add_func("/launcher/job/inherits-nothing", test_inherits_nothing);
    g_test_add_func("/launcher/job/signal", test_signal);
    g_test_add_func("/launcher/job/free-kills", test_free_kills);
    return g_test_run();
}

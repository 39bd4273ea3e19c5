/* SPDX-License-Identifier: MIT */
/* Children, and what is said to them. */
#include "launcher/bench/processes.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/bench/http.h"
#include "launcher/cli/cli.h"

/* How long docker.sock is not there yet is part of a start, so it is looked for often. */
#define LOOK_MS 5u
/* What `run` may take beyond the shutdown timeout: for its own files, and under emulation. */
#define STOP_MARGIN_US (G_GINT64_CONSTANT(30) * 1000000)
#define KILL_US        (G_GINT64_CONSTANT(10) * 1000000)
#define LINE_MAX_BYTES 256u

/* fork(2); in the child all is as it was before we looked after signals. -1 with the error set. */
static pid_t fork_verb(const DinvBenchWatch *watch, GError **error) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot start a process: %s", g_strerror(errno));
    }
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) {
            _exit(DINV_EXIT_FAILED);
        }
        (void)close(watch->signal_fd);
        (void)signal(SIGPIPE, SIG_DFL);
        (void)sigprocmask(SIG_SETMASK, &watch->signals_before, NULL);
    }
    return pid;
}

gboolean dinv_bench_machine_start(DinvBenchWatch *watch, const DinvConfig *config, GError **error) {
    pid_t pid = fork_verb(watch, error);
    if (pid == 0) {
        char *no_command[] = {NULL};
        (void)dup2(STDERR_FILENO, STDOUT_FILENO); /* which is for the table */
        _exit(dinv_cli_run(config, no_command));
    }
    watch->machine = MAX(pid, 0);
    return pid > 0;
}

gboolean dinv_bench_machine_wait(DinvBenchWatch *watch, const DinvConfig *config, GError **error) {
    int fd = -1;
    while ((fd = dinv_bench_http_send(watch, config->socket_path, "GET", "/_ping", "", 0, NULL)) <
           0) {
        if (!dinv_bench_watch_pause(watch, LOOK_MS, error)) {
            return FALSE;
        }
    }
    g_autofree char *answer = dinv_bench_http_finish(watch, fd, error);
    return answer != NULL;
}

gboolean dinv_bench_machine_stop(DinvBenchWatch *watch, const DinvConfig *config) {
    if (watch->machine <= 0) {
        return TRUE;
    }
    gint64 now = g_get_monotonic_time();
    watch->deadline_us = now + (gint64)config->shutdown_timeout_ms * 1000 + STOP_MARGIN_US;
    if (!watch->machine_has_ended) {
        (void)kill(watch->machine, SIGTERM);
    }
    gboolean ended = dinv_bench_watch_wait_for_end(watch);
    if (!ended) {
        (void)kill(watch->machine, SIGKILL);
        watch->deadline_us = g_get_monotonic_time() + KILL_US;
        (void)dinv_bench_watch_wait_for_end(watch);
    }
    watch->machine = 0;
    return ended && watch->machine_status == EXIT_SUCCESS;
}

/* --- Commands in the guest --- */

static _Noreturn void run_shell(const DinvConfig *config, char **argv, int in, int out) {
    int status = DINV_EXIT_FAILED;
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
        status = dinv_cli_shell(config, (int)g_strv_length(argv), argv);
    }
    _exit(status);
}

gboolean dinv_bench_shell_start(DinvBenchWatch *watch, const DinvConfig *config, char **argv,
                                DinvBenchShell *shell, GError **error) {
    int in[2];
    int out[2];
    if (!g_unix_open_pipe(in, FD_CLOEXEC, error)) {
        return FALSE;
    }
    if (!g_unix_open_pipe(out, FD_CLOEXEC, error)) {
        (void)close(in[0]);
        (void)close(in[1]);
        return FALSE;
    }
    pid_t pid = fork_verb(watch, error);
    if (pid == 0) {
        (void)close(in[1]);
        (void)close(out[0]);
        run_shell(config, argv, in[0], out[1]);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    if (pid < 0) {
        (void)close(in[1]);
        (void)close(out[0]);
        return FALSE;
    }
    *shell = (DinvBenchShell){.pid = pid, .in = in[1], .out = out[0]};
    return g_unix_set_fd_nonblocking(shell->in, TRUE, error) &&
           g_unix_set_fd_nonblocking(shell->out, TRUE, error);
}

void dinv_bench_shell_end(DinvBenchShell *shell) {
    if (shell->pid > 0) {
        (void)close(shell->in);
        (void)close(shell->out);
        (void)kill(shell->pid, SIGKILL); /* the guest ends the command then */
        while (waitpid(shell->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        *shell = (DinvBenchShell){0};
    }
}

/* The status that the shell prints behind a command. */
static gboolean read_status(DinvBenchWatch *watch, const DinvBenchShell *shell, guint *status,
                            GError **error) {
    char line[LINE_MAX_BYTES] = "";
    gsize length = 0;
    while (memchr(line, '\n', length) == NULL && length < sizeof line - 1) {
        gssize got = dinv_bench_watch_read(watch, shell->out, line + length,
                                           sizeof line - 1 - length, error);
        if (got < 0) {
            return FALSE;
        }
        if (got == 0) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                                "the shell in the microVM has ended");
            return FALSE;
        }
        length += (gsize)got;
    }
    guint64 value = 0;
    g_strchomp(line);
    if (!g_ascii_string_to_unsigned(line, 10, 0, 255, &value, NULL)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "the shell in the microVM printed no status");
        return FALSE;
    }
    *status = (guint)value;
    return TRUE;
}

gboolean dinv_bench_shell_run(DinvBenchWatch *watch, const DinvBenchShell *shell,
                              const char *command, double *seconds, GError **error) {
    g_autofree char *lines = g_strconcat("{ ", command, "\n} >&2; echo $?\n", NULL);
    guint status = 0;
    gint64 begin_us = g_get_monotonic_time();
    if (!dinv_bench_watch_write(watch, shell->in, lines, strlen(lines), error) ||
        !read_status(watch, shell, &status, error)) {
        return FALSE;
    }
    double taken = dinv_bench_seconds_since(begin_us);
    if (status != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "a command in the microVM failed with status %u", status);
        return FALSE;
    }
    if (seconds != NULL) {
        *seconds = taken;
    }
    return TRUE;
}

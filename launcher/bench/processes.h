/* SPDX-License-Identifier: MIT */
/*
 * The verbs `run` and `shell` in processes of their own. They are forked, not executed, so that
 * they have our settings; each leads a process group, so that a Ctrl-C is ours alone and the
 * machine is stopped once and in order, and ends with us.
 */
#pragma once

#include "launcher/bench/watch.h"
#include "launcher/settings/config.h"

/* Starts `dinv run`; it is watch->machine then. */
gboolean dinv_bench_machine_start(DinvBenchWatch *watch, const DinvConfig *config, GError **error);
/* Blocks until the engine has answered a first request on docker.sock. */
gboolean dinv_bench_machine_wait(DinvBenchWatch *watch, const DinvConfig *config, GError **error);
/* Stops it in order, by force if it takes much longer than DINV_SHUTDOWN_TIMEOUT. FALSE if there
 * was no orderly end. Blocks for as long as that takes. */
gboolean dinv_bench_machine_stop(DinvBenchWatch *watch, const DinvConfig *config);

/* A command in the guest. Zero-initialised it is none, and may be ended. */
typedef struct {
    pid_t pid;
    int in;  /* to its standard input, and */
    int out; /* from its standard output; nonblocking */
} DinvBenchShell;

/* Starts `argv` (NULL-terminated) in the guest. */
gboolean dinv_bench_shell_start(DinvBenchWatch *watch, const DinvConfig *config, char **argv,
                                DinvBenchShell *shell, GError **error);
/* Ends it, if it still runs, and *shell is none. */
void dinv_bench_shell_end(DinvBenchShell *shell);

/* Gives `command` (one or more lines that print nothing) to a shell that was started. FALSE also if
 * its status is not 0. *seconds, which may be NULL, is how long it took. */
gboolean dinv_bench_shell_run(DinvBenchWatch *watch, const DinvBenchShell *shell,
                              const char *command, double *seconds, GError **error);

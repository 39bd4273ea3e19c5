/* SPDX-License-Identifier: MIT */
/*
 * Job mode: the user's command, run in the outer container with DOCKER_HOST set. It has our stdin,
 * stdout and stderr and no other descriptor, and our process group, so that a terminal works for
 * it.
 */
#pragma once

#include <glib.h>

typedef struct DinvCliJob DinvCliJob;

/* Whether `program` can be started, as far as that can be told before: 0, or 126 or 127 after the
 * reason was logged. */
int dinv_cli_job_check(const char *program);

/* Spawns `command`. `ended` runs once, from the default GMainContext, with its exit status as a
 * shell has it (128 + signal when killed). Without `with_stdin` its stdin is /dev/null. NULL when
 * it cannot be started: *status is then 126 or 127 and the reason was logged. */
DinvCliJob *dinv_cli_job_start(char **command, const char *socket_path, gboolean with_stdin,
                               void (*ended)(int status, gpointer user), gpointer user,
                               int *status);

/* Passes a signal on. */
void dinv_cli_job_signal(DinvCliJob *job, int signal_number);

/* Kills the command if it still runs. */
void dinv_cli_job_free(DinvCliJob *job);

/* SPDX-License-Identifier: MIT */
/*
 * daemon: a program of the engine, dockerd or containerd, as a child whose output is the engine's
 * log. One at a time of each; it may be started again.
 */
#pragma once

#include <sys/types.h>

#include "guest/engine-log.h"
#include "guest/loop.h"

typedef struct DinvDaemon DinvDaemon;

/* It is gone, and what it said is in the log. `text` is "NAME exited with status 1" or the like. It
 * may be started again from within this. */
typedef void (*DinvDaemonEnded)(void *user, pid_t pid, const char *text);

/* `name` (for messages), `log` and `cgroup` (a directory, made if need be; NULL: ours) are
 * borrowed. NULL if out of memory. */
DinvDaemon *dinv_daemon_new(DinvLoop *loop, DinvEngineLog *log, const char *name,
                            const char *cgroup, DinvDaemonEnded ended, void *user);
/* Leaves a running process alone. */
void dinv_daemon_free(DinvDaemon *daemon);

/* Starts `command` (program and arguments) with further arguments and environment variables
 * ("NAME=value", put behind defaults for PATH, HOME and LANG), all NULL-terminated and only read
 * now. 0 or -errno (then nothing runs and no callback comes). */
int dinv_daemon_start(DinvDaemon *daemon, char *const *command, char *const *arguments,
                      char *const *environment);

bool dinv_daemon_is_running(const DinvDaemon *daemon);
/* Nothing happens if it does not run. */
void dinv_daemon_signal(const DinvDaemon *daemon, int number);

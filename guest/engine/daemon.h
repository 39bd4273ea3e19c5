/* SPDX-License-Identifier: MIT */
/*
 * daemon: a program of the engine, dockerd or containerd, as a child whose output is the engine's
 * log. One at a time of each; it may be started again.
 */
#pragma once

#include <sys/types.h>

#include "guest/base/loop.h"
#include "guest/engine/log.h"

typedef struct DinvEngineDaemon DinvEngineDaemon;

/* It is gone, and what it said is in the log. `text` is "NAME exited with status 1" or the like. It
 * may be started again from within this. */
typedef void (*DinvEngineDaemonEnded)(void *user, pid_t pid, const char *text);

/* `name` (for messages), `log` and `cgroup` (a directory, made if need be; NULL: ours) are
 * borrowed. NULL if out of memory. */
DinvEngineDaemon *dinv_engine_daemon_new(DinvLoop *loop, DinvEngineLog *log, const char *name,
                                         const char *cgroup, DinvEngineDaemonEnded ended,
                                         void *user);
/* Leaves a running process alone. */
void dinv_engine_daemon_free(DinvEngineDaemon *daemon);

/* Starts `command` (program and arguments) with further arguments and environment variables
 * ("NAME=value", put behind defaults for PATH, HOME and LANG), all NULL-terminated and only read
 * now. 0 or -errno (then nothing runs and no callback comes). */
int dinv_engine_daemon_start(DinvEngineDaemon *daemon, char *const *command, char *const *arguments,
                             char *const *environment);

bool dinv_engine_daemon_is_running(const DinvEngineDaemon *daemon);
/* Nothing happens if it does not run. */
void dinv_engine_daemon_signal(const DinvEngineDaemon *daemon, int number);

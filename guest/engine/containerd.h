/* SPDX-License-Identifier: MIT */
/*
 * containerd: its life from the configuration file to its end.
 *
 * dockerd would start one itself, but gives it 15 seconds, which are not enough where the machine
 * is emulated within an emulated one. So it is started here, and dockerd is told of it by
 * --containerd. dockerd reconnects by itself to one that was started again, and containers do not
 * notice.
 */
#pragma once

#include "guest/base/loop.h"
#include "guest/configuration/configuration.h"
#include "guest/engine/log.h"

typedef struct DinvEngineContainerd DinvEngineContainerd;

typedef struct {
    /* It takes connections; once for each start. */
    void (*answers)(void *user);
    /* It died unasked; `text` is for a person. It may be started again from within this. */
    void (*failed)(void *user, const char *text);
} DinvEngineContainerdCallbacks;

/* The program and the places that it uses; the strings are borrowed for its life. */
typedef struct {
    char *const *command;    /* program and arguments, NULL-terminated */
    const char *config_path; /* what the arguments name; is written anew at each start */
    const char *socket_path;
    const char *cgroup; /* NULL: none of its own */
} DinvEngineContainerdPlan;

/* `log` is borrowed, `callbacks` copied. NULL if out of memory. */
DinvEngineContainerd *dinv_engine_containerd_new(DinvLoop *loop, DinvEngineLog *log,
                                                 const DinvEngineContainerdPlan *plan,
                                                 const DinvEngineContainerdCallbacks *callbacks,
                                                 void *user);
/* Leaves a running process alone. */
void dinv_engine_containerd_free(DinvEngineContainerd *containerd);

/* Starts it with environment variables as dinv_engine_daemon_start() takes them. 0 or -errno (then
 * nothing runs and no callback comes). */
int dinv_engine_containerd_start(DinvEngineContainerd *containerd, char *const *environment,
                                 const DinvContainerdConfiguration *logging);

/* Whether it runs and has taken a connection since it was started. */
bool dinv_engine_containerd_answers(const DinvEngineContainerd *containerd);

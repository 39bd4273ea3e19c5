/* SPDX-License-Identifier: MIT */
/*
 * The room guest/engine: dockerd and containerd as processes: start, supervision, first answer,
 * what they print, and that layers reach the disk. Whether and when they are started (again) is
 * decided above: of the agent's state nothing may enter.
 *
 * engine.h: dockerd's life: start, log, first answer within a deadline, end. It may be started
 * again when it has ended.
 */
#pragma once

#include "guest/base/loop.h"
#include "guest/engine/log.h"

typedef struct DinvEngine DinvEngine;

typedef struct {
    /* It answered for the first time. */
    void (*ready)(void *user, const char *version);
    /* It did not come up in time (and still runs), or died unasked. `text` is for a person. Once
     * for each start. One that died may be started again from within this. */
    void (*failed)(void *user, const char *text);
} DinvEngineCallbacks;

/* The program and the places that it uses; the strings are borrowed for the engine's life. */
typedef struct {
    char *const *command; /* program and its fixed arguments, NULL-terminated */
    const char *socket_path;
    const char *cgroup; /* NULL: none of its own */
} DinvEnginePlan;

/* `log` is borrowed, `callbacks` copied. NULL if out of memory. */
DinvEngine *dinv_engine_new(DinvLoop *loop, DinvEngineLog *log, const DinvEnginePlan *plan,
                            const DinvEngineCallbacks *callbacks, void *user);
/* Leaves a running process alone. */
void dinv_engine_free(DinvEngine *engine);

/* Starts it with further arguments and environment variables ("NAME=value"; later ones win), both
 * NULL-terminated and only read now. 0 or -errno (then nothing runs and no callback comes). */
int dinv_engine_start(DinvEngine *engine, char *const *arguments, char *const *environment,
                      uint32_t deadline_ms);

bool dinv_engine_is_running(const DinvEngine *engine);
/* Sends the signal if it runs; from then on its end is no failure. */
void dinv_engine_signal(DinvEngine *engine, int number);

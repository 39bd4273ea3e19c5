/* SPDX-License-Identifier: MIT */
/* dockerd as a daemon, its first answer by a ping, and the deadline for that. */
#include "guest/engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest/base/log.h"
#include "guest/engine/daemon.h"
#include "guest/engine/ping.h"

struct DinvEngine {
    DinvLoop *loop;
    DinvEngineDaemon *daemon;
    DinvEnginePlan plan;
    DinvEngineCallbacks callbacks;
    void *user;
    DinvEnginePing *ping;
    DinvTimer *deadline;
    uint32_t deadline_ms;
    bool asked_to_stop;
    bool failed;
};

static void stop_watching_start(DinvEngine *engine) {
    dinv_engine_ping_free(engine->ping);
    engine->ping = NULL;
    dinv_timer_cancel(engine->deadline);
}

static void report_failure(DinvEngine *engine, const char *text) {
    if (!engine->failed && !engine->asked_to_stop) {
        engine->failed = true;
        engine->callbacks.failed(engine->user, text);
    }
}

static void dockerd_deadline_passed(void *user) {
    DinvEngine *engine = user;
    stop_watching_start(engine);
    char text[160];
    (void)snprintf(text, sizeof text, "dockerd did not answer within %.1f s",
                   (double)engine->deadline_ms / 1000.0);
    report_failure(engine, text);
}

static void dockerd_answered(void *user, const char *version) {
    DinvEngine *engine = user;
    stop_watching_start(engine);
    engine->callbacks.ready(engine->user, version);
}

static void dockerd_ended(void *user, pid_t pid, const char *text) {
    DinvEngine *engine = user;
    stop_watching_start(engine);
    dinv_log_info("%s (process %d)", text, (int)pid);
    report_failure(engine, text);
}

DinvEngine *dinv_engine_new(DinvLoop *loop, DinvEngineLog *log, const DinvEnginePlan *plan,
                            const DinvEngineCallbacks *callbacks, void *user) {
    DinvEngine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->loop = loop;
    engine->plan = *plan;
    engine->callbacks = *callbacks;
    engine->user = user;
    engine->daemon =
        dinv_engine_daemon_new(loop, log, "dockerd", plan->cgroup, dockerd_ended, engine);
    engine->deadline = dinv_timer_new(loop, dockerd_deadline_passed, engine);
    if (engine->daemon == NULL || engine->deadline == NULL) {
        dinv_engine_free(engine);
        return NULL;
    }
    return engine;
}

void dinv_engine_free(DinvEngine *engine) {
    if (engine == NULL) {
        return;
    }
    dinv_engine_ping_free(engine->ping);
    dinv_timer_free(engine->deadline);
    dinv_engine_daemon_free(engine->daemon);
    free(engine);
}

int dinv_engine_start(DinvEngine *engine, char *const *arguments, char *const *environment,
                      uint32_t deadline_ms) {
    engine->failed = false;
    int result =
        dinv_engine_daemon_start(engine->daemon, engine->plan.command, arguments, environment);
    if (result < 0) {
        return result;
    }
    engine->ping =
        dinv_engine_ping_new(engine->loop, engine->plan.socket_path, dockerd_answered, engine);
    if (engine->ping == NULL) {
        return -ENOMEM;
    }
    engine->deadline_ms = deadline_ms;
    dinv_timer_set(engine->deadline, deadline_ms);
    return 0;
}

bool dinv_engine_is_running(const DinvEngine *engine) {
    return dinv_engine_daemon_is_running(engine->daemon);
}

void dinv_engine_signal(DinvEngine *engine, int number) {
    if (dinv_engine_daemon_is_running(engine->daemon)) {
        engine->asked_to_stop = true;
        stop_watching_start(engine);
        dinv_engine_daemon_signal(engine->daemon, number);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * engine: dockerd and containerd together, from their start over their restarts to the signal that
 * ends them. What a program of the engine is by itself is in guest/engine/.
 */
#pragma once

#include <stdbool.h>

#include "guest/agent/life.h"
#include "guest/base/loop.h"
#include "guest/configuration/configuration.h"
#include "guest/engine/log.h"

#define DINV_AGENT_DOCKER_SOCKET "/run/docker.sock"
#define DINV_AGENT_CGROUP_ROOT   "/sys/fs/cgroup"
#define DINV_AGENT_ENGINE_CGROUP "engine" /* below the root: dockerd, containerd, shims */

typedef struct DinvAgentEngine DinvAgentEngine;

typedef struct {
    /* dockerd answered for the first time: the life is `starting`. */
    void (*ready)(void *user);
    /* One of them cannot be started, or died for good. `text` is for a person. */
    void (*failed)(void *user, const char *text);
} DinvAgentEngineCallbacks;

/* Makes all that is needed to start it. `life` is borrowed and only read: nothing is restarted once
 * the machine ends. `callbacks` is copied. 0 with *engine, or -errno. */
int dinv_agent_engine_new(DinvLoop *loop, const DinvAgentLife *life,
                          const DinvAgentEngineCallbacks *callbacks, void *user,
                          DinvAgentEngine **engine);

/* Starts both of them, and keeps `configuration` for a restart. 0, or -errno of *program. */
int dinv_agent_engine_start(DinvAgentEngine *engine, const DinvConfiguration *configuration,
                            const char **program);
/* Whether that was done once with success. */
bool dinv_agent_engine_was_started(const DinvAgentEngine *engine);
/* What a restart is to take from now on, instead of the former one, which may be freed. */
void dinv_agent_engine_set_configuration(DinvAgentEngine *engine,
                                         const DinvConfiguration *configuration);

/* Of dockerd; containerd ends with everything else. */
bool dinv_agent_engine_is_running(const DinvAgentEngine *engine);
/* Sends dockerd the signal if it runs; from then on its end is no failure. */
void dinv_agent_engine_signal(DinvAgentEngine *engine, int number);

/* dockerd's version, "" before it has answered. */
const char *dinv_agent_engine_get_version(const DinvAgentEngine *engine);
/* What both of them write; never NULL. */
DinvEngineLog *dinv_agent_engine_get_log(const DinvAgentEngine *engine);

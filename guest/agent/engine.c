/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The engine is two programs, started together so that on two CPUs neither
 * waits for the other: containerd, and dockerd, which connects to it for up to a minute. On a
 * machine that is slower than that dockerd gives up, and is started once more when containerd
 * answers. Either of them that dies later is started again.
 */
#include "guest/agent/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/paths.h"
#include "guest/engine/containerd.h"
#include "guest/engine/engine.h"
#include "guest/engine/layer-sync.h"
#include "guest/engine/socket-names.h"
#include "guest/ports/proxy.h"
#include "wire/paths.h"

enum {
    RESTART_AGAIN_MS = 60000, /* what lives no longer is not started a third time */
    GAVE_UP_MS = 45000,       /* a dockerd that ends sooner did not wait for containerd */
    ENGINE_LOG_SIZE = 4 * 1024 * 1024,
};

#define RUN_DIRECTORY     DINV_AGENT_DIRECTORY
#define CONTAINERD_CONFIG RUN_DIRECTORY "/containerd.toml"
#define CONTAINERD_SOCKET "/run/containerd/containerd.sock"
#define ENGINE_CGROUP     DINV_AGENT_CGROUP_ROOT "/" DINV_AGENT_ENGINE_CGROUP

struct DinvAgentEngine {
    DinvLoop *loop;
    const DinvAgentLife *life;
    DinvAgentEngineCallbacks callbacks;
    void *user;
    DinvEngineLog *log;
    const DinvConfiguration *configuration; /* NULL before the start */
    DinvEngineContainerd *containerd;
    DinvEngine *dockerd;
    DinvEngineLayerSync *layer_sync; /* NULL: not yet, or it cannot be */
    bool was_started;
    bool dockerd_waits;             /* it is to be started when containerd answers */
    bool dockerd_restarts;          /* it has ended, and has not answered since */
    uint64_t dockerd_start_ms;      /* when it was started last */
    uint64_t dockerd_restart_ms;    /* when it was started again last; 0: never */
    bool containerd_restarts;       /* it has ended, and has not answered since */
    uint64_t containerd_restart_ms; /* when it was started again last; 0: never */
    char version[64];
};

static int start_dockerd(DinvAgentEngine *engine) {
    const DinvConfiguration *configuration = engine->configuration;
    engine->dockerd_start_ms = dinv_now_ms();
    return dinv_engine_start(engine->dockerd, configuration->dockerd_args,
                             configuration->environment, configuration->dockerd_deadline_ms);
}

static int start_containerd(DinvAgentEngine *engine) {
    const DinvConfiguration *configuration = engine->configuration;
    return dinv_engine_containerd_start(engine->containerd, configuration->environment,
                                        &configuration->containerd_logging);
}

/* Notes that something is started again now. False if it was only just: it would not help. */
static bool may_restart(const DinvAgentEngine *engine, uint64_t *last_ms) {
    uint64_t now_ms = dinv_now_ms();
    if (engine->life->state != DINV_AGENT_LIFE_READY ||
        (*last_ms > 0 && now_ms - *last_ms < RESTART_AGAIN_MS)) {
        return false;
    }
    *last_ms = now_ms;
    return true;
}

/* --- dockerd ---------------------------------------------------------------------------------- */

/* Before any client comes: whatever a dockerd does from now on is seen. */
static void protect_layers(DinvAgentEngine *engine) {
    int fd = dinv_engine_layer_sync_open(DINV_WIRE_DATA_ROOT);
    if (fd >= 0) {
        engine->layer_sync = dinv_engine_layer_sync_new(engine->loop, fd, syncfs);
    }
    if (engine->layer_sync == NULL) {
        dinv_log_warning("images may be damaged if the machine ends suddenly: their layers cannot "
                         "be synced before they are recorded: %s, ignoring",
                         fd == -EINVAL   ? "the kernel has no CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
                         : fd == -ENOENT ? "dockerd has no layerdb"
                                         : strerror(fd < 0 ? -fd : ENOMEM));
    }
}

static void dockerd_ready(void *user, const char *version) {
    DinvAgentEngine *engine = user;
    dinv_engine_name_socket(DINV_AGENT_DOCKER_SOCKET, engine->configuration->dockerd_sockets);
    if (engine->dockerd_restarts) {
        engine->dockerd_restarts = false;
        dinv_log_info("dockerd answers again");
    }
    if (engine->life->state != DINV_AGENT_LIFE_STARTING) {
        return;
    }
    (void)snprintf(engine->version, sizeof engine->version, "%s", version);
    protect_layers(engine);
    engine->callbacks.ready(engine->user);
}

/* A dockerd that has answered and then ends is started again, as a service manager would: with it
 * go the containers that have a restart policy, and their ports. Not one that ends again soon. */
static bool restart_dockerd(DinvAgentEngine *engine, const char *text) {
    if (engine->dockerd_restarts || !may_restart(engine, &engine->dockerd_restart_ms)) {
        return false;
    }
    engine->dockerd_restarts = true;
    dinv_log_warning("%s; starting it again", text);
    return start_dockerd(engine) == 0;
}

/* Whether it is to be started when containerd answers. */
static bool wait_for_containerd(DinvAgentEngine *engine) {
    if (engine->life->state != DINV_AGENT_LIFE_STARTING ||
        dinv_engine_is_running(engine->dockerd) ||
        dinv_engine_containerd_answers(engine->containerd) ||
        dinv_now_ms() - engine->dockerd_start_ms < GAVE_UP_MS) {
        return false;
    }
    dinv_log_info("containerd takes its time to start; dockerd is started again when it answers");
    engine->dockerd_waits = true;
    return true;
}

static void dockerd_failed(void *user, const char *text) {
    DinvAgentEngine *engine = user;
    if (!wait_for_containerd(engine) && !restart_dockerd(engine, text)) {
        engine->callbacks.failed(engine->user, text);
    }
}

/* --- containerd ------------------------------------------------------------------------------- */

static void containerd_answers(void *user) {
    DinvAgentEngine *engine = user;
    if (engine->containerd_restarts) {
        engine->containerd_restarts = false;
        dinv_log_info("containerd answers again");
    }
    if (engine->dockerd_waits && !dinv_agent_life_is_ending(engine->life)) {
        engine->dockerd_waits = false;
        if (start_dockerd(engine) < 0) {
            engine->callbacks.failed(engine->user, "cannot start dockerd again");
        }
    }
}

static void containerd_failed(void *user, const char *text) {
    DinvAgentEngine *engine = user;
    if (dinv_agent_life_is_ending(engine->life)) {
        return;
    }
    if (!engine->containerd_restarts && may_restart(engine, &engine->containerd_restart_ms)) {
        engine->containerd_restarts = true;
        dinv_log_warning("%s; starting it again", text);
        if (start_containerd(engine) == 0) {
            return;
        }
    }
    engine->callbacks.failed(engine->user, text);
}

/* --- both ------------------------------------------------------------------------------------- */

static int create_containerd(DinvAgentEngine *engine) {
    static char *const command[] = {"containerd", ("--config=" CONTAINERD_CONFIG), NULL};
    static const DinvEngineContainerdPlan plan = {
        .command = command,
        .config_path = CONTAINERD_CONFIG,
        .socket_path = CONTAINERD_SOCKET,
        .cgroup = ENGINE_CGROUP,
    };
    static const DinvEngineContainerdCallbacks callbacks = {
        .answers = containerd_answers,
        .failed = containerd_failed,
    };
    engine->containerd =
        dinv_engine_containerd_new(engine->loop, engine->log, &plan, &callbacks, engine);
    return engine->containerd != NULL ? 0 : -ENOMEM;
}

static int create_dockerd(DinvAgentEngine *engine) {
    static char *const command[] = {
        "dockerd",
        ("--host=unix://" DINV_AGENT_DOCKER_SOCKET),
        ("--containerd=" CONTAINERD_SOCKET),
        ("--data-root=" DINV_WIRE_DATA_ROOT),
        "--exec-root=/run/docker",
        "--pidfile=/run/docker.pid",
        ("--userland-proxy-path=/sbin/" DINV_PORT_PROXY_NAME),
        NULL,
    };
    static const DinvEnginePlan plan = {
        .command = command,
        .socket_path = DINV_AGENT_DOCKER_SOCKET,
        .cgroup = ENGINE_CGROUP,
    };
    static const DinvEngineCallbacks callbacks = {
        .ready = dockerd_ready,
        .failed = dockerd_failed,
    };
    engine->dockerd = dinv_engine_new(engine->loop, engine->log, &plan, &callbacks, engine);
    return engine->dockerd != NULL ? 0 : -ENOMEM;
}

static int make_parts(DinvAgentEngine *engine) {
    if (mkdir(RUN_DIRECTORY, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    engine->log = dinv_engine_log_new(RUN_DIRECTORY "/dockerd.log", ENGINE_LOG_SIZE);
    if (engine->log == NULL) {
        return -errno;
    }
    int result = create_containerd(engine);
    return result == 0 ? create_dockerd(engine) : result;
}

int dinv_agent_engine_new(DinvLoop *loop, const DinvAgentLife *life,
                          const DinvAgentEngineCallbacks *callbacks, void *user,
                          DinvAgentEngine **engine) {
    DinvAgentEngine *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        return -ENOMEM;
    }
    *fresh = (DinvAgentEngine){.loop = loop, .life = life, .callbacks = *callbacks, .user = user};
    int result = make_parts(fresh);
    if (result < 0) {
        dinv_engine_containerd_free(fresh->containerd);
        dinv_engine_log_free(fresh->log);
        free(fresh);
        return result;
    }
    *engine = fresh;
    return 0;
}

int dinv_agent_engine_start(DinvAgentEngine *engine, const DinvConfiguration *configuration,
                            const char **program) {
    engine->configuration = configuration;
    *program = "containerd";
    int result = start_containerd(engine);
    if (result == 0) {
        *program = "dockerd";
        result = start_dockerd(engine);
    }
    engine->was_started = result == 0;
    engine->configuration = result == 0 ? configuration : NULL;
    return result;
}

bool dinv_agent_engine_was_started(const DinvAgentEngine *engine) {
    return engine->was_started;
}

void dinv_agent_engine_set_configuration(DinvAgentEngine *engine,
                                         const DinvConfiguration *configuration) {
    engine->configuration = configuration;
}

bool dinv_agent_engine_is_running(const DinvAgentEngine *engine) {
    return dinv_engine_is_running(engine->dockerd);
}

void dinv_agent_engine_signal(DinvAgentEngine *engine, int number) {
    dinv_engine_signal(engine->dockerd, number);
}

const char *dinv_agent_engine_get_version(const DinvAgentEngine *engine) {
    return engine->version;
}

DinvEngineLog *dinv_agent_engine_get_log(const DinvAgentEngine *engine) {
    return engine->log;
}

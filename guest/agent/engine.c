/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The engine is two programs, started together so that on two CPUs neither
 * waits for the other: containerd, and dockerd, which connects to it for up to a minute. On a
 * machine that is slower than that dockerd gives up, and is started once more when containerd
 * answers. Either of them that dies later is started again.
 */
#include "guest/agent/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/ports/proxy.h"
#include "wire/paths.h"

enum {
    RESTART_AGAIN_MS = 60000, /* what lives no longer is not started a third time */
    GAVE_UP_MS = 45000,       /* a dockerd that ends sooner did not wait for containerd */
    ENGINE_LOG_SIZE = 4 * 1024 * 1024,
};

#define RUN_DIRECTORY     "/run/dinv"
#define CONTAINERD_CONFIG RUN_DIRECTORY "/containerd.toml"
#define CONTAINERD_SOCKET "/run/containerd/containerd.sock"
#define ENGINE_CGROUP     DINV_CGROUP_ROOT "/" DINV_ENGINE_CGROUP

static int start_dockerd(DinvAgent *agent, const DinvConfiguration *configuration) {
    agent->engine_start_ms = dinv_now_ms();
    return dinv_engine_start(agent->engine, configuration->dockerd_args, configuration->environment,
                             configuration->dockerd_deadline_ms);
}

/* Notes that something is started again now. False if it was only just: it would not help. */
static bool may_restart(const DinvAgent *agent, uint64_t *last_ms) {
    uint64_t now_ms = dinv_now_ms();
    if (agent->life.state != DINV_AGENT_LIFE_READY ||
        dinv_agent_shutdown_has_begun(agent->shutdown) ||
        (*last_ms > 0 && now_ms - *last_ms < RESTART_AGAIN_MS)) {
        return false;
    }
    *last_ms = now_ms;
    return true;
}

/* --- dockerd ---------------------------------------------------------------------------------- */

/* Before any client comes: whatever a dockerd does from now on is seen. */
static void protect_layers(DinvAgent *agent) {
    int fd = dinv_engine_layer_sync_open(DINV_WIRE_DATA_ROOT);
    if (fd >= 0) {
        agent->layer_sync = dinv_engine_layer_sync_new(agent->loop, fd, syncfs);
    }
    if (agent->layer_sync == NULL) {
        dinv_log_warning("images may be damaged if the machine ends suddenly: their layers cannot "
                         "be synced before they are recorded: %s, ignoring",
                         fd == -EINVAL   ? "the kernel has no CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
                         : fd == -ENOENT ? "dockerd has no layerdb"
                                         : strerror(fd < 0 ? -fd : ENOMEM));
    }
}

static void engine_ready(void *user, const char *version) {
    DinvAgent *agent = user;
    if (agent->engine_restarts) {
        agent->engine_restarts = false;
        dinv_log_info("dockerd answers again");
    }
    if (agent->life.state != DINV_AGENT_LIFE_STARTING) {
        return;
    }
    (void)snprintf(agent->engine_version, sizeof agent->engine_version, "%s", version);
    protect_layers(agent);
    (void)dinv_agent_life_set(&agent->life, DINV_AGENT_LIFE_READY);
    dinv_agent_send_phase(agent, "engine-ready");
    dinv_agent_send_ready(agent);
}

/* A dockerd that has answered and then ends is started again, as a service manager would: with it
 * go the containers that have a restart policy, and their ports. Not one that ends again soon. */
static bool restart_dockerd(DinvAgent *agent, const char *text) {
    if (agent->engine_restarts || !may_restart(agent, &agent->engine_restart_ms)) {
        return false;
    }
    agent->engine_restarts = true;
    dinv_log_warning("%s; starting it again", text);
    return start_dockerd(agent, agent->configuration) == 0;
}

/* Whether it is to be started when containerd answers. */
static bool wait_for_containerd(DinvAgent *agent) {
    if (agent->life.state != DINV_AGENT_LIFE_STARTING ||
        dinv_agent_shutdown_has_begun(agent->shutdown) || dinv_engine_is_running(agent->engine) ||
        dinv_engine_containerd_answers(agent->containerd) ||
        dinv_now_ms() - agent->engine_start_ms < GAVE_UP_MS) {
        return false;
    }
    dinv_log_info("containerd takes its time to start; dockerd is started again when it answers");
    agent->engine_waits = true;
    return true;
}

static void engine_failed(void *user, const char *text) {
    DinvAgent *agent = user;
    if (!wait_for_containerd(agent) && !restart_dockerd(agent, text)) {
        dinv_agent_fail(agent, "dockerd", text, true);
    }
}

/* --- containerd ------------------------------------------------------------------------------- */

static void containerd_answers(void *user) {
    DinvAgent *agent = user;
    if (agent->containerd_restarts) {
        agent->containerd_restarts = false;
        dinv_log_info("containerd answers again");
    }
    if (agent->engine_waits && !dinv_agent_shutdown_has_begun(agent->shutdown)) {
        agent->engine_waits = false;
        if (start_dockerd(agent, agent->configuration) < 0) {
            dinv_agent_fail(agent, "dockerd", "cannot start dockerd again", true);
        }
    }
}

static void containerd_failed(void *user, const char *text) {
    DinvAgent *agent = user;
    if (dinv_agent_shutdown_has_begun(agent->shutdown)) {
        return;
    }
    if (!agent->containerd_restarts && may_restart(agent, &agent->containerd_restart_ms)) {
        agent->containerd_restarts = true;
        dinv_log_warning("%s; starting it again", text);
        const DinvConfiguration *configuration = agent->configuration;
        if (dinv_engine_containerd_start(agent->containerd, configuration->environment,
                                         &configuration->containerd_logging) == 0) {
            return;
        }
    }
    dinv_agent_fail(agent, "dockerd", text, true);
}

/* --- both ------------------------------------------------------------------------------------- */

static int send_publish_request(void *user, const char *verb, struct json_object *fields,
                                DinvChannelControlAnswer answer, void *answer_user) {
    DinvAgent *agent = user;
    if (agent->control == NULL) {
        json_object_put(fields);
        return -ENOTCONN;
    }
    return dinv_channel_control_request(agent->control, verb, fields, answer, answer_user);
}

static int make_containerd(DinvAgent *agent) {
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
    agent->containerd =
        dinv_engine_containerd_new(agent->loop, agent->engine_log, &plan, &callbacks, agent);
    return agent->containerd != NULL ? 0 : -ENOMEM;
}

static int make_dockerd(DinvAgent *agent) {
    static char *const command[] = {
        "dockerd",
        ("--host=unix://" DINV_DOCKER_SOCKET),
        ("--containerd=" CONTAINERD_SOCKET),
        ("--data-root=" DINV_WIRE_DATA_ROOT),
        "--exec-root=/run/docker",
        "--pidfile=/run/docker.pid",
        ("--userland-proxy-path=/sbin/" DINV_PORT_PROXY_NAME),
        NULL,
    };
    static const DinvEnginePlan plan = {
        .command = command,
        .socket_path = DINV_DOCKER_SOCKET,
        .cgroup = ENGINE_CGROUP,
    };
    static const DinvEngineCallbacks callbacks = {
        .ready = engine_ready,
        .failed = engine_failed,
    };
    agent->engine = dinv_engine_new(agent->loop, agent->engine_log, &plan, &callbacks, agent);
    return agent->engine != NULL ? 0 : -ENOMEM;
}

int dinv_agent_make_engine(DinvAgent *agent) {
    if (mkdir(RUN_DIRECTORY, 0755) < 0 && errno != EEXIST) {
        return -errno;
    }
    agent->engine_log = dinv_engine_log_new(RUN_DIRECTORY "/dockerd.log", ENGINE_LOG_SIZE);
    if (agent->engine_log == NULL) {
        return -errno;
    }
    agent->publish =
        dinv_ports_publish_new(agent->loop, DINV_PORT_PROXY_SOCKET, send_publish_request, agent);
    if (agent->publish == NULL) {
        return -errno;
    }
    agent->names = dinv_network_names_new(agent->loop, "iptables-restore");
    if (agent->names == NULL) {
        return -ENOMEM;
    }
    int result = make_containerd(agent);
    return result == 0 ? make_dockerd(agent) : result;
}

int dinv_agent_start_engine(DinvAgent *agent, const DinvConfiguration *configuration,
                            const char **program) {
    *program = "containerd";
    int result = dinv_engine_containerd_start(agent->containerd, configuration->environment,
                                              &configuration->containerd_logging);
    if (result == 0) {
        *program = "dockerd";
        result = start_dockerd(agent, configuration);
    }
    return result;
}

/* SPDX-License-Identifier: MIT */
/* What the files of the agent share: agent.c (life, channels, end), agent-configure.c (the start),
 * agent-engine.c (dockerd and containerd), agent-verbs.c (requests). */
#pragma once

#include "guest/configuration.h"
#include "guest/containerd.h"
#include "guest/control.h"
#include "guest/engine.h"
#include "guest/inodes.h"
#include "guest/layer-sync.h"
#include "guest/names.h"
#include "guest/power.h"
#include "guest/publish.h"
#include "guest/relay-host.h"
#include "guest/shutdown.h"

#define DINV_DOCKER_SOCKET "/run/docker.sock"
#define DINV_DATA_ROOT     "/var/lib/docker"
#define DINV_CGROUP_ROOT   "/sys/fs/cgroup"
#define DINV_ENGINE_CGROUP "engine" /* below the root: dockerd, containerd, shims */

typedef struct {
    DinvLoop *loop;
    DinvLife life;
    uint64_t start_us;
    int signal_fd;
    DinvTimer *find_ports;
    uint64_t find_deadline_ms;
    DinvControl *control; /* NULL until the port was found, like the next */
    DinvRelayHost *relay;
    DinvPublish *publish;
    DinvNames *names;
    DinvInodes *inodes;
    DinvPowerButton *button;   /* NULL: no such key */
    DinvEngineLog *engine_log; /* NULL: could not be made */
    DinvContainerd *containerd;
    DinvEngine *engine;        /* dockerd */
    DinvLayerSync *layer_sync; /* NULL: not yet, or it cannot be */
    DinvShutdown *shutdown;
    DinvConfiguration *configuration; /* NULL until the first good `configure` */
    bool engine_started;
    bool engine_waits;          /* it is to be started when containerd answers */
    bool engine_restarts;       /* it has ended, and has not answered since */
    uint64_t engine_start_ms;   /* when it was started last */
    uint64_t engine_restart_ms; /* when it was started again last; 0: never */
    bool containerd_restarts;   /* the same of containerd */
    uint64_t containerd_restart_ms;
    char engine_version[64];
    bool shares_abandoned; /* whoever touches a share waits forever */
    int mount_error;       /* of dinv_mounts_prepare() */
    const char *mount_error_what;
    int64_t trim_id; /* of the trim request that runs; 0: none */
    int trim_fd;
} DinvAgent;

/* Sends {"event": "phase", …}. */
void dinv_agent_send_phase(DinvAgent *agent, const char *name);
/* The machine cannot go on: says so (with dockerd's last lines if `with_log`), and ends it. */
void dinv_agent_fail(DinvAgent *agent, const char *what, const char *text, bool with_log);
/* Sends {"event": "damaged", …}: the disk is beyond repair. */
void dinv_agent_send_damaged(DinvAgent *agent, const char *serial);
/* Sends the event `ready`. */
void dinv_agent_send_ready(DinvAgent *agent);

/* Makes all that the engine needs, not yet started. 0 or -errno. */
int dinv_agent_make_engine(DinvAgent *agent);
/* Starts it, `configuration` being the one to be. 0, or -errno of *program. */
int dinv_agent_start_engine(DinvAgent *agent, const DinvConfiguration *configuration,
                            const char **program);

/* A request of the launcher. */
void dinv_agent_handle_request(DinvAgent *agent, const DinvMessage *message);
void dinv_agent_configure(DinvAgent *agent, const DinvMessage *message);

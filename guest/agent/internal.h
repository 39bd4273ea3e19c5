/* SPDX-License-Identifier: MIT */
/* What the files of the agent share: agent.c (life, channels, end), configure.c (the start),
 * engine.c (dockerd and containerd), verbs.c (requests). */
#pragma once

#include "guest/agent/shutdown.h"
#include "guest/channels/control.h"
#include "guest/configuration/configuration.h"
#include "guest/engine/containerd.h"
#include "guest/engine/engine.h"
#include "guest/engine/layer-sync.h"
#include "guest/mounts/inodes.h"
#include "guest/mounts/shares.h"
#include "guest/network/names.h"
#include "guest/ports/publish.h"
#include "guest/services/relay.h"
#include "guest/system/power.h"

#define DINV_DOCKER_SOCKET "/run/docker.sock"
#define DINV_CGROUP_ROOT   "/sys/fs/cgroup"
#define DINV_ENGINE_CGROUP "engine" /* below the root: dockerd, containerd, shims */

typedef struct DinvAgentConfigure DinvAgentConfigure;

typedef struct {
    DinvLoop *loop;
    DinvAgentLife life;
    uint64_t start_us;
    int signal_fd;
    DinvTimer *find_ports;
    uint64_t find_deadline_ms;
    DinvChannelControl *control; /* NULL until the port was found, like the next */
    DinvServiceRelay *relay;
    DinvPortsPublish *publish;
    DinvNetworkNames *names;
    DinvMountsInodes *inodes;
    DinvMountsShares *shares;
    DinvSystemPowerButton *button; /* NULL: no such key */
    DinvEngineLog *engine_log;     /* NULL: could not be made */
    DinvEngineContainerd *containerd;
    DinvEngine *engine;              /* dockerd */
    DinvEngineLayerSync *layer_sync; /* NULL: not yet, or it cannot be */
    DinvAgentShutdown *shutdown;
    DinvConfiguration *configuration; /* NULL until the first good `configure` */
    DinvAgentConfigure *configure;    /* the request that waits for a disk's check; NULL: none */
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
/* The configuration that is being carried out, while a disk is checked; NULL: none is. */
DinvConfiguration *dinv_agent_configure_get_pending(const DinvAgent *agent);
/* Another launcher is there, which did not ask for what is being carried out. */
void dinv_agent_configure_forget_asker(DinvAgent *agent);

/* SPDX-License-Identifier: MIT */
/*
 * internal: the agent as it is put together by agent.c, for the files that need more than one part
 * of it: configure.c (a `configure`, from its first step to its reply), verbs.c (all other
 * requests) and shutdown-steps.c (what is done at the end).
 */
#pragma once

#include "guest/agent/channels.h"
#include "guest/agent/engine.h"
#include "guest/agent/life.h"
#include "guest/agent/shutdown.h"
#include "guest/configuration/configuration.h"
#include "guest/mounts/inodes.h"
#include "guest/mounts/shares.h"
#include "guest/network/names.h"
#include "guest/ports/listeners.h"

typedef struct DinvAgentConfigure DinvAgentConfigure;

typedef struct {
    DinvLoop *loop;
    DinvAgentLife life;
    uint64_t start_us; /* CLOCK_BOOTTIME at which the process began */
    DinvAgentChannels *channels;
    DinvAgentEngine *engine;
    DinvAgentShutdown *shutdown;
    DinvNetworkNames *names;
    DinvNetworkLoopback *loopback;
    DinvPortsListeners *listeners;
    DinvMountsInodes *inodes;
    DinvMountsShares *shares;
    DinvConfiguration *configuration; /* NULL until the first good `configure` */
    DinvAgentConfigure *configure;    /* that waits for the check of a disk; NULL: none */
    bool shares_abandoned;            /* whoever touches a share waits for ever */
    int mount_error;                  /* of dinv_mounts_prepare() */
    const char *mount_error_what;
} DinvAgent;

/* The machine cannot go on: says so (with the engine's last lines if `with_log`), and ends it.
 * `what` is a word of the event `failed`. Nothing happens if the end has begun. */
void dinv_agent_fail(DinvAgent *agent, const char *what, const char *text, bool with_log);

/* A request of the launcher, whose body may hold anything. It is answered once, now or (configure)
 * later. */
void dinv_agent_handle_request(DinvAgent *agent, const DinvMessage *message);
void dinv_agent_configure(DinvAgent *agent, const DinvMessage *message);
/* The configuration that is being carried out, while a disk is checked; NULL: none is. */
DinvConfiguration *dinv_agent_configure_get_pending(const DinvAgent *agent);
/* Another launcher is there, which did not ask for what is being carried out. */
void dinv_agent_configure_forget_asker(DinvAgent *agent);

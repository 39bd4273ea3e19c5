/* SPDX-License-Identifier: MIT */
/*
 * life: where the machine is between its first and its last instruction. One setter, one table.
 */
#pragma once

#include <stdbool.h>

typedef enum {
    DINV_AGENT_LIFE_BOOT,     /* file systems, channels */
    DINV_AGENT_LIFE_WAITING,  /* for a launcher and its `configure` */
    DINV_AGENT_LIFE_STARTING, /* configured; dockerd runs, but has not answered */
    DINV_AGENT_LIFE_READY,    /* the engine answers */
    DINV_AGENT_LIFE_STOPPING, /* dockerd was asked to stop, and stops its containers */
    DINV_AGENT_LIFE_CUTTING, /* it takes too long: containers were killed, dockerd writes it down */
    DINV_AGENT_LIFE_TERMINATING, /* dockerd is gone; SIGTERM to the rest */
    DINV_AGENT_LIFE_KILLING,     /* SIGKILL to the rest */
    DINV_AGENT_LIFE_UNMOUNTING,  /* no process is left, or none that can be killed */
    DINV_AGENT_LIFE_FAREWELL,    /* `exit` is on its way to the launcher */
    DINV_AGENT_LIFE_OFF,         /* the power is off as far as we are concerned */
    DINV_AGENT_LIFE_COUNT,
} DinvAgentLifeState;

typedef struct {
    DinvAgentLifeState state;
} DinvAgentLife;

const char *dinv_agent_life_name(DinvAgentLifeState state);
/* Whether the end has begun: from `stopping` on. */
bool dinv_agent_life_is_ending(const DinvAgentLife *life);
/* Goes to `next` and logs "old -> new". 0, or -EINVAL (logged, nothing changed) when the table does
 * not have the step. */
int dinv_agent_life_set(DinvAgentLife *life, DinvAgentLifeState next);

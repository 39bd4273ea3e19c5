/* SPDX-License-Identifier: MIT */
/*
 * shutdown: the order in which the machine ends, and its deadlines. What is done in each step is
 * the owner's (the operations), so that the order can be tested in an ordinary process.
 *
 *   stopping     dockerd got SIGTERM: it sends the containers their stop signals and waits for
 *                them; those that cannot react to any are killed a moment later
 *   cutting      at half of the time: containers are killed, dockerd is left to write that down
 *   terminating  dockerd is gone, or never ran: SIGTERM to the rest
 *   killing      SIGKILL to everything: at 13/16 of the time, or soon after SIGTERM to the rest if
 *                no disk is being checked
 *   unmounting   when no process is left, or some cannot be killed; tried again until it is clean
 *                or the time is over
 *   farewell     `exit` goes out; then off, at the latest half a second later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest/agent/life.h"
#include "guest/base/loop.h"

typedef struct DinvAgentShutdown DinvAgentShutdown;

typedef struct {
    bool (*engine_is_running)(void *user);
    void (*signal_engine)(void *user, int number);
    bool (*checks_disk)(void *user); /* e2fsck runs; asked after dockerd is gone */
    void (*kill_deaf)(void *user);   /* containers that no signal but SIGKILL ends */
    void (*kill_containers)(void *user);
    void (*signal_everything)(void *user, int number);
    bool (*has_processes)(void *user); /* whether any process but this one is left */
    bool (*unmount)(void *user);       /* true: clean */
    void (*send_exit)(void *user, bool clean);
    bool (*is_drained)(void *user); /* whether `exit` has left */
    void (*power_off)(void *user);  /* the last call */
} DinvAgentShutdownOperations;

/* `life` is borrowed and from _begin() on moved only in here; `operations` is copied. */
DinvAgentShutdown *dinv_agent_shutdown_new(DinvLoop *loop, DinvAgentLife *life,
                                           const DinvAgentShutdownOperations *operations,
                                           void *user);
void dinv_agent_shutdown_free(DinvAgentShutdown *shutdown);

/* Begins the end, from any state of the life. Again: only a nearer deadline is taken. */
void dinv_agent_shutdown_begin(DinvAgentShutdown *shutdown, uint64_t deadline_ms);
bool dinv_agent_shutdown_has_begun(const DinvAgentShutdown *shutdown);

/* To be called when children were collected. */
void dinv_agent_shutdown_children_ended(DinvAgentShutdown *shutdown);

/* SPDX-License-Identifier: MIT */
/*
 * listeners: publishes what listens in the guest's own network without Docker's knowledge of a
 * port: containers with `--network host`, and the ports of a swarm's services, which dockerd
 * itself listens on.
 *
 * Theory of operation. The kernel tells nobody that a socket has begun to listen, so the tables of
 * /proc/net are read once a second. A socket that is new there is looked for among the descriptors
 * of containers (socket-owner.h); one of the guest's own services is not found, and never
 * published. The launcher is asked to forward the port, as it is for a port
 * proxy, and to stop when the socket is gone. A port that the launcher refuses is said once, and
 * not asked for again while the socket is there.
 *
 * Not published: what listens on the guest's loopback or any other address that is not outside
 * (the launcher cannot reach it), and UDP sockets in the range of local ports, which are those of
 * clients.
 */
#pragma once

#include "guest/ports/publish.h"

typedef struct DinvPortsListeners DinvPortsListeners;

/* `proc` ("/proc") and `engine_cgroup` are borrowed for good. NULL if out of memory. */
DinvPortsListeners *dinv_ports_listeners_new(DinvLoop *loop, const char *proc,
                                             const char *engine_cgroup, DinvPortsRequest request,
                                             void *user);
/* Only when no request is unanswered any more. NULL is ignored. */
void dinv_ports_listeners_free(DinvPortsListeners *listeners);

/* From now on it looks once a second, the first time at once; again: of no effect. */
void dinv_ports_listeners_start(DinvPortsListeners *listeners);

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
 * What a container opens on 127.0.0.1 of the guest is published on the outer container's loopback
 * (guest/network/loopback.h is the way there). Not published: what listens on any other single
 * address, which the launcher cannot reach, and UDP sockets in the range of local ports, which are
 * those of clients.
 */
#pragma once

#include "guest/network/loopback.h"
#include "guest/ports/publish.h"

typedef struct DinvPortsListeners DinvPortsListeners;

/* `proc` ("/proc") and `engine_cgroup` are borrowed for good. NULL if out of memory. */
DinvPortsListeners *dinv_ports_listeners_new(DinvLoop *loop, const char *proc,
                                             const char *engine_cgroup, DinvPortsRequest request,
                                             void *user);
/* Only when no request is unanswered any more. NULL is ignored. */
void dinv_ports_listeners_free(DinvPortsListeners *listeners);

/* Before the start. `loopback` is borrowed for good; without it nothing on the guest's loopback is
 * published. */
void dinv_ports_listeners_use_loopback(DinvPortsListeners *listeners,
                                       DinvNetworkLoopback *loopback);

/* From now on it looks once a second, the first time at once; again: of no effect. */
void dinv_ports_listeners_start(DinvPortsListeners *listeners);

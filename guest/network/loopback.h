/* SPDX-License-Identifier: MIT */
/*
 * loopback: the way from the outer container's loopback to a server on the machine's own. What
 * comes from there for one of the ports that are set has its destination changed (NAT, in a chain
 * of our own); nothing that comes from elsewhere, containers of the machine least of all, gets
 * there.
 */
#pragma once

#include "guest/base/loop.h"
#include "guest/configuration/configuration.h"

typedef struct DinvNetworkLoopback DinvNetworkLoopback;

typedef struct {
    bool udp;
    uint16_t port;
} DinvNetworkLoopbackPort;

/* `program` is iptables-restore, searched for in the PATH; `proc` "/proc". Both are kept. NULL if
 * out of memory. */
DinvNetworkLoopback *dinv_network_loopback_new(DinvLoop *loop, const char *program,
                                               const char *proc);
/* NULL is ignored. */
void dinv_network_loopback_free(DinvNetworkLoopback *loopback);

/* The machine's address, and that of the outer container, from now on. */
void dinv_network_loopback_configure(DinvNetworkLoopback *loopback,
                                     const DinvNetworkConfiguration *network);

/* Begins to open the way to these ports, and to no others. What fails later is logged. 0 or
 * -errno. */
int dinv_network_loopback_set(DinvNetworkLoopback *loopback, const DinvNetworkLoopbackPort *ports,
                              size_t count);

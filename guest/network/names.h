/* SPDX-License-Identifier: MIT */
/*
 * names: queries of the machine and its containers to the resolver in resolv.conf, which is SLIRP's
 * and asks only one of the outer resolvers, go to the launcher's DNS forwarder instead: two rules
 * of NAT in a chain of our own, which dockerd leaves alone. (resolv.conf has no way to name a
 * port.)
 */
#pragma once

#include "guest/base/loop.h"
#include "guest/configuration/configuration.h"

typedef struct DinvNetworkNames DinvNetworkNames;

/* `program` is iptables-restore, searched for in the PATH; kept. NULL if out of memory. */
DinvNetworkNames *dinv_network_names_new(DinvLoop *loop, const char *program);
void dinv_network_names_free(DinvNetworkNames *names);

/* Begins to set the rules for this network, or to change those of an earlier one; without a
 * resolver in it there are none. What fails later is logged. 0 or -errno. */
int dinv_network_names_redirect(DinvNetworkNames *names, const DinvNetworkConfiguration *network);

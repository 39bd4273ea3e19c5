/* SPDX-License-Identifier: MIT */
/*
 * Addresses of the inner networks, chosen so that they overlap none of the outer container's.
 * SLIRP shows the guest the real address of an outside client: were it inside docker0's network,
 * the replies would go to docker0 and be lost.
 */
#pragma once

#include <glib.h>

/* An IPv4 network in host byte order. */
typedef struct {
    guint32 address;
    guint prefix;
} DinvNetwork;

typedef struct {
    DinvNetwork slirp;  /* guest .15, host .2, resolver .3 */
    DinvNetwork bridge; /* docker0's own address is .1 of it */
    GArray *pools;      /* of DinvNetwork: for the networks that users of the engine create */
} DinvNetworkPlan;

/* A pure function of the networks in use outside (GArray of DinvNetwork). Falls back to the first
 * candidate of a kind where all overlap. Transfer full. */
DinvNetworkPlan *dinv_network_plan_new(const GArray *outer);
void dinv_network_plan_free(DinvNetworkPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvNetworkPlan, dinv_network_plan_free)

/* The IPv4 networks of this network namespace: addresses (getifaddrs) and routes in the format of
 * /proc/net/route (`routes`, may be NULL); loopback and default routes are left out. Transfer full.
 */
GArray *dinv_network_list_outer(const char *routes);

gboolean dinv_network_overlaps(const DinvNetwork *a, const DinvNetwork *b);
/* "10.0.2.0/24"; with `host` > 0 the address with that host part: "10.0.2.15". Transfer full. */
char *dinv_network_to_string(const DinvNetwork *network);
char *dinv_network_host_to_string(const DinvNetwork *network, guint32 host);

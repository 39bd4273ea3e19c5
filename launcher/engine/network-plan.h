/* SPDX-License-Identifier: MIT */
/*
 * Addresses of the inner networks, chosen so that they overlap none of the outer container's. SLIRP
 * shows the guest the real address of an outside client: were it inside docker0's network, the
 * replies would go to docker0 and be lost.
 */
#pragma once

#include "launcher/engine/config.h"
#include "launcher/host/network.h"
#include "launcher/settings/config.h"

/* Networks for those that the engine's users create, cut into pieces of `piece` bits. */
typedef struct {
    DinvIpv4Network network;
    guint piece;
} DinvEngineAddressPool;

typedef struct {
    DinvIpv4Network slirp;  /* the guest's own network: guest .15, host .2, resolver .3 */
    DinvIpv4Network bridge; /* docker0's own address, and the prefix of its network */
    GArray *pools;          /* of DinvEngineAddressPool; empty: dockerd's own */
    gboolean has_own_pools; /* the user told dockerd the pools */
} DinvEngineNetworkPlan;

/* A pure function of the networks in use outside (GArray of DinvHostNetwork) and of what the user
 * wants (`subnet` for slirp, `bip` for bridge; prefix 0: choose; `pools`, of DinvIpv4Network; NULL:
 * choose). Where nothing is free the defaults stand, and dinv_engine_network_plan_list_conflicts()
 * tells. Transfer full. */
DinvEngineNetworkPlan *dinv_engine_network_plan_new(const GArray *outer,
                                                    const DinvIpv4Network *subnet,
                                                    const DinvIpv4Network *bip,
                                                    const GArray *pools);
void dinv_engine_network_plan_free(DinvEngineNetworkPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvEngineNetworkPlan, dinv_engine_network_plan_free)

/* The plan that the settings, and what dockerd is told (NULL: nothing), lead to. */
DinvEngineNetworkPlan *dinv_engine_network_plan_for(const DinvConfig *config,
                                                    const DinvEngineConfig *engine,
                                                    const GArray *outer);

typedef enum {
    DINV_ENGINE_NETWORK_PLAN_SLIRP,
    DINV_ENGINE_NETWORK_PLAN_BRIDGE,
    DINV_ENGINE_NETWORK_PLAN_POOLS
} DinvEngineNetworkPlanPart;

/* What this part of the plan overlaps outside (and for slirp docker0's network as well): a sentence
 * (char *) each, without its remedy; empty if nothing. Transfer full. */
GPtrArray *dinv_engine_network_plan_list_conflicts(const DinvEngineNetworkPlan *plan,
                                                   DinvEngineNetworkPlanPart part,
                                                   const GArray *outer);

/* "guest 10.0.2.0/24, docker0 172.17.0.1/16, inner networks from 172.18.0.0/16 and 14 more".
 * Transfer full. */
char *dinv_engine_network_plan_to_string(const DinvEngineNetworkPlan *plan);

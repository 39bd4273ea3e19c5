/* SPDX-License-Identifier: MIT */
/*
 * Watches for networks that the outer container joins while it runs (docker network connect): one
 * that overlaps what was planned is told, as nothing can be planned anew under running containers.
 */
#pragma once

#include "launcher/engine/network-plan.h"

typedef struct DinvNetworkWatch DinvNetworkWatch;

/* Watches this network namespace's addresses and routes from the main context; logs a warning for
 * each conflict, once. `plan` must outlive it. NULL if the kernel gives no such socket (error
 * set). */
DinvNetworkWatch *dinv_network_watch_new(const DinvEngineNetworkPlan *plan, GError **error);
void dinv_network_watch_free(DinvNetworkWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvNetworkWatch, dinv_network_watch_free)

/* Compares the plan with these networks now (GArray of DinvHostNetwork), as an event does; returns
 * how many conflicts were told. */
guint dinv_network_watch_compare(DinvNetworkWatch *watch, const GArray *outer);

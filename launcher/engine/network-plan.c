/* SPDX-License-Identifier: MIT */
/* Takes free blocks from lists of private address spaces, in the order of the lists. */
#include "launcher/engine/network-plan.h"

/* QEMU's and Docker's own networks first, so that where nothing is in the way things look as people
 * know them. Then places that are seldom used, then all that is private, at last the addresses for
 * carriers' own networks and for benchmarks. */
static const DinvIpv4Network slirp_spaces[] = {
    {DINV_IPV4(10, 0, 2, 0), 24},      {DINV_IPV4(10, 191, 0, 0), 16},
    {DINV_IPV4(192, 168, 128, 0), 17}, {DINV_IPV4(10, 0, 0, 0), 8},
    {DINV_IPV4(172, 16, 0, 0), 12},    {DINV_IPV4(192, 168, 0, 0), 16},
    {DINV_IPV4(100, 64, 0, 0), 10},    {DINV_IPV4(198, 18, 0, 0), 15},
};
static const DinvIpv4Network bridge_spaces[] = {
    {DINV_IPV4(172, 17, 0, 0), 16}, {DINV_IPV4(172, 18, 0, 0), 15},  {DINV_IPV4(172, 20, 0, 0), 14},
    {DINV_IPV4(172, 24, 0, 0), 13}, {DINV_IPV4(10, 192, 0, 0), 10},  {DINV_IPV4(10, 0, 0, 0), 8},
    {DINV_IPV4(100, 64, 0, 0), 10}, {DINV_IPV4(192, 168, 0, 0), 16}, {DINV_IPV4(198, 19, 0, 0), 16},
};
/* Where 172.16/12 and 192.168/16 have not enough for the pools. */
static const DinvIpv4Network pool_spaces[] = {
    {DINV_IPV4(10, 192, 0, 0), 10}, {DINV_IPV4(10, 0, 0, 0), 8},    {DINV_IPV4(192, 168, 0, 0), 16},
    {DINV_IPV4(100, 64, 0, 0), 10}, {DINV_IPV4(198, 18, 0, 0), 15},
};

#define SLIRP_PREFIX  24u
#define BRIDGE_PREFIX 16u
/* As many networks a user shall at least be able to create; Docker's own pools are 31. */
#define PIECES_WANTED 16u

/* Finds the first block of that prefix in `space` that overlaps nothing of `taken`, and adds it to
 * `taken`. FALSE if there is none. */
static gboolean take_block(const DinvIpv4Network *space, guint prefix, GArray *taken,
                           DinvIpv4Network *block) {
    if (prefix < space->prefix) {
        return FALSE;
    }
    guint blocks = 1u << (prefix - space->prefix);
    for (guint i = 0; i < blocks; i++) {
        DinvIpv4Network candidate = {space->address + (i << (32 - prefix)), prefix};
        gboolean is_free = TRUE;
        for (guint j = 0; j < taken->len && is_free; j++) {
            is_free =
                !dinv_ipv4_network_overlaps(&candidate, &g_array_index(taken, DinvIpv4Network, j));
        }
        if (is_free) {
            g_array_append_val(taken, candidate);
            *block = candidate;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean take_from(const DinvIpv4Network *spaces, gsize count, guint prefix, GArray *taken,
                          DinvIpv4Network *block) {
    for (gsize i = 0; i < count; i++) {
        if (take_block(&spaces[i], prefix, taken, block)) {
            return TRUE;
        }
    }
    return FALSE;
}

static void choose_slirp(DinvEngineNetworkPlan *plan, GArray *taken) {
    if (!take_from(slirp_spaces, G_N_ELEMENTS(slirp_spaces), SLIRP_PREFIX, taken, &plan->slirp)) {
        plan->slirp = slirp_spaces[0];
        g_array_append_val(taken, plan->slirp);
    }
}

/* Chooses docker0's network as wide as it can be, down to the 254 containers of a /24. */
static void choose_bridge(DinvEngineNetworkPlan *plan, GArray *taken) {
    DinvIpv4Network block = bridge_spaces[0];
    guint prefix = BRIDGE_PREFIX;
    while (prefix <= 24 &&
           !take_from(bridge_spaces, G_N_ELEMENTS(bridge_spaces), prefix, taken, &block)) {
        prefix += 4;
    }
    if (prefix > 24) {
        g_array_append_val(taken, block);
    }
    plan->bridge = (DinvIpv4Network){block.address + 1, block.prefix};
}

static guint plan_pool(DinvEngineNetworkPlan *plan, const DinvIpv4Network *network, guint piece) {
    DinvEngineAddressPool pool = {*network, piece};
    g_array_append_val(plan->pools, pool);
    return 1u << (piece - network->prefix);
}

static void choose_pools(DinvEngineNetworkPlan *plan, GArray *taken) {
    static const DinvIpv4Network docker = {DINV_IPV4(172, 16, 0, 0), 12};
    static const DinvIpv4Network home = {DINV_IPV4(192, 168, 0, 0), 16};
    DinvIpv4Network first = {docker.address, 16}; /* Docker does not use this one */
    DinvIpv4Network block;
    guint pieces = 0;
    g_array_append_val(taken, first);
    /* The last one first: networks that the outer engine makes later, and the outer container
     * joins, come from the other end. */
    while (take_block(&docker, 16, taken, &block)) {
        DinvEngineAddressPool pool = {block, 16};
        g_array_prepend_val(plan->pools, pool);
        pieces++;
    }
    if (take_block(&home, 16, taken, &block)) {
        pieces += plan_pool(plan, &block, 20);
    }
    for (guint prefix = 16; prefix <= 24 && pieces < PIECES_WANTED; prefix += 4) {
        while (pieces < PIECES_WANTED &&
               take_from(pool_spaces, G_N_ELEMENTS(pool_spaces), prefix, taken, &block)) {
            pieces += plan_pool(plan, &block, MAX(prefix, 20));
        }
    }
}

/* Takes the pools of the user, whatever is in their way. */
static void take_pools(DinvEngineNetworkPlan *plan, const GArray *pools, GArray *taken) {
    for (guint i = 0; i < pools->len; i++) {
        const DinvIpv4Network *network = &g_array_index(pools, DinvIpv4Network, i);
        (void)plan_pool(plan, network, network->prefix);
        g_array_append_val(taken, *network);
    }
}

DinvEngineNetworkPlan *dinv_engine_network_plan_new(const GArray *outer,
                                                    const DinvIpv4Network *subnet,
                                                    const DinvIpv4Network *bip,
                                                    const GArray *pools) {
    DinvEngineNetworkPlan *plan = g_new0(DinvEngineNetworkPlan, 1);
    g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    for (guint i = 0; i < outer->len; i++) {
        g_array_append_val(taken, g_array_index(outer, DinvHostNetwork, i).network);
    }
    /* What the user wants is taken, whatever is in its way, before anything is chosen. */
    if (subnet->prefix != 0) {
        plan->slirp = dinv_ipv4_network_of(subnet);
        g_array_append_val(taken, plan->slirp);
    }
    if (bip->prefix != 0) {
        plan->bridge = *bip;
        g_array_append_val(taken, plan->bridge);
    }
    plan->pools = g_array_new(FALSE, FALSE, sizeof(DinvEngineAddressPool));
    plan->has_own_pools = pools != NULL;
    if (plan->has_own_pools) {
        take_pools(plan, pools, taken);
    }
    if (subnet->prefix == 0) {
        choose_slirp(plan, taken);
    }
    if (bip->prefix == 0) {
        choose_bridge(plan, taken);
    }
    if (!plan->has_own_pools) {
        choose_pools(plan, taken);
    }
    return plan;
}

DinvEngineNetworkPlan *dinv_engine_network_plan_for(const DinvConfig *config,
                                                    const DinvEngineConfig *engine,
                                                    const GArray *outer) {
    return dinv_engine_network_plan_new(outer, &config->subnet,
                                        engine != NULL ? &engine->bip : &config->bip,
                                        engine != NULL ? engine->pools : NULL);
}

void dinv_engine_network_plan_free(DinvEngineNetworkPlan *plan) {
    if (plan != NULL) {
        g_array_unref(plan->pools);
        g_free(plan);
    }
}

static void find_conflicts(GPtrArray *conflicts, const char *what, const DinvIpv4Network *network,
                           const GArray *outer) {
    g_autofree char *text = dinv_ipv4_network_to_string(network);
    for (guint i = 0; i < outer->len; i++) {
        const DinvHostNetwork *other = &g_array_index(outer, DinvHostNetwork, i);
        if (dinv_ipv4_network_overlaps(network, &other->network)) {
            g_autofree char *other_text = dinv_ipv4_network_to_string(&other->network);
            g_ptr_array_add(conflicts, g_strdup_printf("%s, %s, overlaps %s on %s outside", what,
                                                       text, other_text, other->device));
        }
    }
}

GPtrArray *dinv_engine_network_plan_list_conflicts(const DinvEngineNetworkPlan *plan,
                                                   DinvEngineNetworkPlanPart part,
                                                   const GArray *outer) {
    GPtrArray *conflicts = g_ptr_array_new_with_free_func(g_free);
    switch (part) {
    case DINV_ENGINE_NETWORK_PLAN_SLIRP:
        find_conflicts(conflicts, "the guest's network (DINV_SUBNET)", &plan->slirp, outer);
        if (dinv_ipv4_network_overlaps(&plan->slirp, &plan->bridge)) {
            g_autofree char *slirp = dinv_ipv4_network_to_string(&plan->slirp);
            g_autofree char *bridge = dinv_ipv4_network_to_string(&plan->bridge);
            g_ptr_array_add(conflicts,
                            g_strdup_printf("the guest's network (DINV_SUBNET), %s, overlaps "
                                            "docker0's (DINV_BIP), %s",
                                            slirp, bridge));
        }
        break;
    case DINV_ENGINE_NETWORK_PLAN_BRIDGE:
        find_conflicts(conflicts, "docker0's network (DINV_BIP)", &plan->bridge, outer);
        break;
    case DINV_ENGINE_NETWORK_PLAN_POOLS:
        for (guint i = 0; i < plan->pools->len; i++) {
            find_conflicts(conflicts, "a pool for inner networks",
                           &g_array_index(plan->pools, DinvEngineAddressPool, i).network, outer);
        }
        break;
    }
    return conflicts;
}

char *dinv_engine_network_plan_to_string(const DinvEngineNetworkPlan *plan) {
    g_autofree char *slirp = dinv_ipv4_network_to_string(&plan->slirp);
    g_autofree char *docker0 = dinv_ipv4_network_address_to_string(&plan->bridge);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "guest %s, docker0 %s/%u", slirp, docker0, plan->bridge.prefix);
    if (plan->pools->len > 0) {
        g_autofree char *first = dinv_ipv4_network_to_string(
            &g_array_index(plan->pools, DinvEngineAddressPool, 0).network);
        g_string_append_printf(text, ", inner networks from %s", first);
        if (plan->pools->len > 1) {
            g_string_append_printf(text, " and %u more", plan->pools->len - 1);
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

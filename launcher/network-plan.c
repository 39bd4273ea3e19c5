/* SPDX-License-Identifier: MIT */
#include "launcher/network-plan.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define IPV4(a, b, c, d) (((guint32)(a) << 24) | ((guint32)(b) << 16) | ((guint32)(c) << 8) | (d))

/* QEMU's and Docker's own defaults first, so that where nothing is in the way things look as
 * people know them. */
static const DinvNetwork slirp_candidates[] = {
    {IPV4(10, 0, 2, 0), 24},     {IPV4(10, 191, 2, 0), 24},    {IPV4(192, 168, 191, 0), 24},
    {IPV4(172, 31, 191, 0), 24}, {IPV4(100, 100, 191, 0), 24}, {IPV4(198, 18, 191, 0), 24},
};

#define BRIDGE_FIRST 17u
#define BRIDGE_LAST  31u

static guint32 mask_of(guint prefix) {
    return prefix == 0 ? 0 : 0xffffffffu << (32 - prefix);
}

gboolean dinv_network_overlaps(const DinvNetwork *a, const DinvNetwork *b) {
    guint32 mask = mask_of(MIN(a->prefix, b->prefix));
    return (a->address & mask) == (b->address & mask);
}

static gboolean is_free(const DinvNetwork *candidate, const GArray *outer,
                        const DinvNetwork *also_taken) {
    for (guint i = 0; i < outer->len; i++) {
        if (dinv_network_overlaps(candidate, &g_array_index(outer, DinvNetwork, i))) {
            return FALSE;
        }
    }
    return also_taken == NULL || !dinv_network_overlaps(candidate, also_taken);
}

static DinvNetwork choose_slirp(const GArray *outer) {
    for (guint i = 0; i < G_N_ELEMENTS(slirp_candidates); i++) {
        if (is_free(&slirp_candidates[i], outer, NULL)) {
            return slirp_candidates[i];
        }
    }
    return slirp_candidates[0];
}

DinvNetworkPlan *dinv_network_plan_new(const GArray *outer) {
    DinvNetworkPlan *plan = g_new0(DinvNetworkPlan, 1);
    plan->slirp = choose_slirp(outer);
    plan->pools = g_array_new(FALSE, FALSE, sizeof(DinvNetwork));
    gboolean have_bridge = FALSE;
    for (guint second = BRIDGE_FIRST; second <= BRIDGE_LAST; second++) {
        DinvNetwork candidate = {IPV4(172, second, 0, 0), 16};
        if (!is_free(&candidate, outer, &plan->slirp)) {
            continue;
        }
        if (!have_bridge) {
            plan->bridge = candidate;
            have_bridge = TRUE;
        } else {
            g_array_append_val(plan->pools, candidate);
        }
    }
    DinvNetwork home = {IPV4(192, 168, 0, 0), 16};
    if (is_free(&home, outer, &plan->slirp)) {
        g_array_append_val(plan->pools, home);
    }
    /* Where all of 172.16/12 and 192.168/16 is taken outside: benchmark and shared address space.
     */
    DinvNetwork last_bridge = {IPV4(198, 19, 0, 0), 16};
    DinvNetwork last_pool = {IPV4(100, 64, 0, 0), 12};
    if (!have_bridge) {
        plan->bridge = last_bridge;
    }
    if (plan->pools->len == 0) {
        g_array_append_val(plan->pools, last_pool);
    }
    return plan;
}

void dinv_network_plan_free(DinvNetworkPlan *plan) {
    if (plan != NULL) {
        g_array_unref(plan->pools);
        g_free(plan);
    }
}

static void add_network(GArray *outer, guint32 address, guint32 mask) {
    DinvNetwork network = {address & mask, (guint)__builtin_popcount(mask)};
    gboolean loopback = (address >> 24) == 127;
    if (!loopback && network.prefix > 0) {
        g_array_append_val(outer, network);
    }
}

static void add_routes(GArray *outer, const char *routes) {
    g_auto(GStrv) lines = g_strsplit(routes, "\n", -1);
    for (guint i = 1; lines[0] != NULL && lines[i] != NULL; i++) {
        unsigned destination = 0;
        unsigned mask = 0;
        /* Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses as hexadecimal words
         * in memory order. NOLINTNEXTLINE(cert-err34-c): a line that does not fit is left out */
        if (sscanf(lines[i], "%*s %x %*x %*x %*d %*d %*d %x", &destination, &mask) == 2) {
            add_network(outer, ntohl(destination), ntohl(mask));
        }
    }
}

GArray *dinv_network_list_outer(const char *routes) {
    GArray *outer = g_array_new(FALSE, FALSE, sizeof(DinvNetwork));
    struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) == 0) {
        for (struct ifaddrs *item = interfaces; item != NULL; item = item->ifa_next) {
            if (item->ifa_addr == NULL || item->ifa_netmask == NULL ||
                item->ifa_addr->sa_family != AF_INET || (item->ifa_flags & IFF_LOOPBACK) != 0) {
                continue;
            }
            struct sockaddr_in address;
            struct sockaddr_in mask;
            memcpy(&address, item->ifa_addr, sizeof address);
            memcpy(&mask, item->ifa_netmask, sizeof mask);
            add_network(outer, ntohl(address.sin_addr.s_addr), ntohl(mask.sin_addr.s_addr));
        }
        freeifaddrs(interfaces);
    }
    if (routes != NULL) {
        add_routes(outer, routes);
    }
    return outer;
}

char *dinv_network_host_to_string(const DinvNetwork *network, guint32 host) {
    guint32 address = (network->address & mask_of(network->prefix)) + host;
    return g_strdup_printf("%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
                           (address >> 8) & 255, address & 255);
}

char *dinv_network_to_string(const DinvNetwork *network) {
    g_autofree char *address = dinv_network_host_to_string(network, 0);
    return g_strdup_printf("%s/%u", address, network->prefix);
}

/* SPDX-License-Identifier: MIT */
/* Networks from getifaddrs(3) and /proc/net/route. */
#include "launcher/host/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Wider ones are default routes, whole or in parts. */
#define PREFIX_MINIMUM 8u

static void add_network(GArray *outer, guint32 address, guint32 mask, const char *device) {
    DinvHostNetwork item = {.network = {address & mask, (guint)__builtin_popcount(mask)}};
    gboolean loopback = (address >> 24) == 127;
    if (loopback || item.network.prefix < PREFIX_MINIMUM) {
        return;
    }
    for (guint i = 0; i < outer->len; i++) {
        const DinvIpv4Network *known = &g_array_index(outer, DinvHostNetwork, i).network;
        if (known->address == item.network.address && known->prefix == item.network.prefix) {
            return; /* a device's address and its route */
        }
    }
    g_strlcpy(item.device, device, sizeof item.device);
    g_array_append_val(outer, item);
}

static void add_routes(GArray *outer, const char *routes) {
    g_auto(GStrv) lines = g_strsplit(routes, "\n", -1);
    for (guint i = 1; lines[0] != NULL && lines[i] != NULL; i++) {
        G_STATIC_ASSERT(IFNAMSIZ == 16);
        char device[IFNAMSIZ];
        unsigned destination = 0;
        unsigned mask = 0;
        /* Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses as hexadecimal words
         * in memory order. NOLINTNEXTLINE(cert-err34-c): a line that does not fit is left out */
        if (sscanf(lines[i], "%15s %x %*x %*x %*d %*d %*d %x", device, &destination, &mask) == 3) {
            add_network(outer, ntohl(destination), ntohl(mask), device);
        }
    }
}

static void add_addresses(GArray *outer) {
    struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) < 0) {
        return;
    }
    for (struct ifaddrs *item = interfaces; item != NULL; item = item->ifa_next) {
        if (item->ifa_addr == NULL || item->ifa_netmask == NULL ||
            item->ifa_addr->sa_family != AF_INET || (item->ifa_flags & IFF_LOOPBACK) != 0) {
            continue;
        }
        struct sockaddr_in address;
        struct sockaddr_in mask;
        memcpy(&address, item->ifa_addr, sizeof address);
        memcpy(&mask, item->ifa_netmask, sizeof mask);
        add_network(outer, ntohl(address.sin_addr.s_addr), ntohl(mask.sin_addr.s_addr),
                    item->ifa_name);
    }
    freeifaddrs(interfaces);
}

GArray *dinv_host_network_list(const char *routes) {
    GArray *outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    g_autofree char *contents = NULL;
    if (routes == NULL) {
        (void)g_file_get_contents("/proc/net/route", &contents, NULL, NULL);
        routes = contents;
    }
    add_addresses(outer);
    if (routes != NULL) {
        add_routes(outer, routes);
    }
    return outer;
}

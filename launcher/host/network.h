/* SPDX-License-Identifier: MIT */
/* The IPv4 networks that the outer container has. */
#pragma once

#include <glib.h>
#include <net/if.h>

#include "launcher/base/ipv4-network.h"

/* A network in use outside, and the device it is reached by. */
typedef struct {
    DinvIpv4Network network;
    char device[IFNAMSIZ];
} DinvHostNetwork;

/* The IPv4 networks of this network namespace: addresses (getifaddrs) and routes in the format of
 * /proc/net/route (`routes`; NULL: that file). Loopback is left out, and what is as wide as a
 * default route (prefixes below 8: VPNs replace default routes by such pairs). A GArray of
 * DinvHostNetwork, transfer full. */
GArray *dinv_host_network_list(const char *routes);

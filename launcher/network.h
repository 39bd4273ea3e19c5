/* SPDX-License-Identifier: MIT */
/* IPv4 networks: read, written, compared, and those that the outer container has. */
#pragma once

#include <glib.h>
#include <net/if.h>

/* In host byte order. As the address of a host in a network, `address` has host bits. */
typedef struct {
    guint32 address;
    guint prefix; /* 0: none, as default routes are no networks here */
} DinvNetwork;

/* A network in use outside, and the device it is reached by. */
typedef struct {
    DinvNetwork network;
    char device[IFNAMSIZ];
} DinvOuterNetwork;

#define DINV_IPV4(a, b, c, d)                                                                      \
    (((guint32)(a) << 24) | ((guint32)(b) << 16) | ((guint32)(c) << 8) | (guint32)(d))

gboolean dinv_network_overlaps(const DinvNetwork *a, const DinvNetwork *b);

/* The network without host bits. */
DinvNetwork dinv_network_of(const DinvNetwork *host);

/* Reads "10.0.2.15/24", host bits and all; FALSE if it is nothing of that form, its prefix is not
 * 1 to 32, or its address is none that a host can have (0, 127, 224 and above). */
gboolean dinv_network_parse(const char *text, DinvNetwork *network);

/* "10.0.2.0/24". Transfer full. */
char *dinv_network_to_string(const DinvNetwork *network);
/* Its own address: "10.0.2.15" of 10.0.2.15/24. Transfer full. */
char *dinv_network_address_to_string(const DinvNetwork *host);
/* The address with that host part: "10.0.2.15". Transfer full. */
char *dinv_network_host_to_string(const DinvNetwork *network, guint32 host);

/* The IPv4 networks of this network namespace: addresses (getifaddrs) and routes in the format of
 * /proc/net/route (`routes`; NULL: that file). Loopback is left out, and what is as wide as a
 * default route (prefixes below 8: VPNs replace default routes by such pairs). A GArray of
 * DinvOuterNetwork, transfer full. */
GArray *dinv_network_list_outer(const char *routes);

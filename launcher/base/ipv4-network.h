/* SPDX-License-Identifier: MIT */
/* IPv4 networks: read, written, compared. */
#pragma once

#include <glib.h>

/* In host byte order. As the address of a host in a network, `address` has host bits. */
typedef struct {
    guint32 address;
    guint prefix; /* 0: none, as default routes are no networks here */
} DinvIpv4Network;

#define DINV_IPV4(a, b, c, d)                                                                      \
    (((guint32)(a) << 24) | ((guint32)(b) << 16) | ((guint32)(c) << 8) | (guint32)(d))

gboolean dinv_ipv4_network_overlaps(const DinvIpv4Network *a, const DinvIpv4Network *b);

/* The network without host bits. */
DinvIpv4Network dinv_ipv4_network_of(const DinvIpv4Network *host);

/* Reads "10.0.2.15/24", host bits and all; FALSE if it is nothing of that form, its prefix is not
 * 1 to 32, or its address is none that a host can have (0, 127, 224 and above). */
gboolean dinv_ipv4_network_parse(const char *text, DinvIpv4Network *network);

/* "10.0.2.0/24". Transfer full. */
char *dinv_ipv4_network_to_string(const DinvIpv4Network *network);
/* Its own address: "10.0.2.15" of 10.0.2.15/24. Transfer full. */
char *dinv_ipv4_network_address_to_string(const DinvIpv4Network *host);
/* The address with that host part: "10.0.2.15". Transfer full. */
char *dinv_ipv4_network_host_to_string(const DinvIpv4Network *network, guint32 host);

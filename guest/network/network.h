/* SPDX-License-Identifier: MIT */
/*
 * The room guest/network: the machine's interfaces, its files of /etc, and the ways of its DNS
 * queries and to its loopback, as the configuration has them. Containers' networks are dockerd's
 * and may not enter.
 *
 * network.h: loopback and the one ethernet device of the machine, and the files of /etc that go
 * with them.
 */
#pragma once

#include "guest/configuration/configuration.h"

/* What the ethernet device is called, on every machine. */
#define DINV_NETWORK_INTERFACE "eth0"

/* Brings loopback up, and the ethernet device when configuration->present: address, default route,
 * MTU. May come again with other values. 0 or -errno, after having said in the log what failed. */
int dinv_network_configure(const DinvNetworkConfiguration *network);

/* Writes resolv.conf into the directory; a reader sees the old or the new one. 0 or -errno. */
int dinv_network_write_resolv_conf(const char *directory, const DinvNetworkConfiguration *network);

/* Writes hosts, resolv.conf and (with a hostname) hostname into the directory, "/etc" except in
 * tests. 0 or -errno. */
int dinv_network_write_files(const char *directory, const DinvNetworkConfiguration *network,
                             const char *hostname);

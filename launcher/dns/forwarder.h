/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/dns: names for the guest. Messages, queries and the files of the outer
 * container that say whom to ask; what the guest is told of it, and who runs the network, may not
 * enter.
 *
 * This file is the resolver of the guest and of all containers in it: it listens on 127.0.0.1,
 * which SLIRP shows the guest as its gateway, answers for the outer container and for the names in
 * its hosts file, and asks the outer container's resolvers for all else (SLIRP's own resolver takes
 * only the first of them, and that only of one address family). Changes of both files count at
 * once.
 */
#pragma once

#include "launcher/dns/resolver-files.h"

/* Queries under way that came as datagrams, and connections, each with one: what a guest that
 * floods can make us hold. */
#define DINV_DNS_REQUESTS_MAX    64u
#define DINV_DNS_CONNECTIONS_MAX 16u

/* The names of the outer container for the guest and its containers, as Docker Desktop has them. */
#define DINV_DNS_OWN_NAMES 2u
extern const char *const dinv_dns_own_names[DINV_DNS_OWN_NAMES];

typedef struct DinvDnsForwarder DinvDnsForwarder;

typedef struct {
    const char *resolv_conf; /* paths */
    const char *hosts;
    const char *gateway; /* the outer container's address in the guest, "10.0.2.2" */
    /* Search domains or options are others now. `files` is borrowed. */
    void (*changed)(const DinvDnsResolverFiles *files, gpointer user);
    gpointer user;
    guint16 server_port; /* of the outer resolvers; 53, except in tests */
    guint step_ms;       /* until the next one is asked; 0: the default */
} DinvDnsForwarderOptions;

/* Binds one port of 127.0.0.1 for UDP and TCP; NULL with a G_IO_ERROR. `options` is copied. Works
 * in the default GMainContext. Reads the two files, now and when they change, which blocks for as
 * long as that takes; a network is never waited for. Whoever sends queries is not trusted. */
DinvDnsForwarder *dinv_dns_forwarder_new(const DinvDnsForwarderOptions *options, GError **error);
void dinv_dns_forwarder_free(DinvDnsForwarder *forwarder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvDnsForwarder, dinv_dns_forwarder_free)

guint16 dinv_dns_forwarder_get_port(const DinvDnsForwarder *forwarder);
/* The files as they were last read; borrowed until the next turn of the main loop. */
const DinvDnsResolverFiles *dinv_dns_forwarder_get_files(const DinvDnsForwarder *forwarder);

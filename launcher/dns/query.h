/* SPDX-License-Identifier: MIT */
/*
 * One query to the outer resolvers: to the first, after a while also to the next; the first good
 * answer counts, from whichever it comes. The message goes out and comes back byte for byte, so
 * that whatever client and resolver agree on (EDNS, DNSSEC) works.
 */
#pragma once

#include <gio/gio.h>

/* As many as the C library takes from resolv.conf. Each costs a descriptor while a query runs. */
#define DINV_DNS_SERVERS_MAX 3u

typedef struct DinvDnsQuery DinvDnsQuery;

/* `reply` is borrowed; NULL if no resolver answered. A resolver's failure (SERVFAIL, REFUSED) is
 * the reply if none has a better one. */
typedef void (*DinvDnsReply)(const guint8 *reply, gsize len, gpointer user);

typedef struct {
    GPtrArray *servers; /* of GSocketAddress, 1 to DINV_DNS_SERVERS_MAX; referenced */
    guint first;        /* the one to begin with */
    gboolean over_tcp;
    guint step_ms; /* until the next one is asked too */
    DinvDnsReply callback;
    gpointer user;
} DinvDnsQueryOptions;

/* Sends `message` (copied), whose question ends at `question_end` (dinv_dns_check_query()). Runs in
 * the default GMainContext; the callback comes once, never from within this call. */
DinvDnsQuery *dinv_dns_query_new(const guint8 *message, gsize len, gsize question_end,
                                 const DinvDnsQueryOptions *options);
/* Also before the callback, which then never comes, or from within it. */
void dinv_dns_query_free(DinvDnsQuery *query);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvDnsQuery, dinv_dns_query_free)

/* Within the callback: the server that the next query had better begin with, another than `first`
 * if that was silent, or not there, while another answered. */
guint dinv_dns_query_get_best(const DinvDnsQuery *query);

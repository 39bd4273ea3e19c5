/* SPDX-License-Identifier: MIT */
/* What the outer container resolves names by: resolv.conf(5) and hosts(5). */
#pragma once

#include <gio/gio.h>

#define DINV_DNS_PORT 53

typedef struct {
    GPtrArray *servers; /* of GSocketAddress, 127.0.0.1 if none is named; never empty */
    GStrv search;
    GStrv options;
    GHashTable *hosts; /* name in lower case -> GPtrArray of GInetAddress */
} DinvDnsResolverFiles;

/* From the texts of the two files (NULL: there is none); `port` is that of the servers. What is not
 * understood is left out, as the resolver library does it; so are loopback addresses in hosts,
 * which mean another machine in the guest. Transfer full. */
DinvDnsResolverFiles *dinv_dns_resolver_files_parse(const char *resolv_conf, const char *hosts,
                                                    guint16 port);
/* dinv_dns_resolver_files_parse() of the files of these paths, which may be missing. Blocks for
 * file I/O. Transfer full. */
DinvDnsResolverFiles *dinv_dns_resolver_files_read(const char *resolv_conf, const char *hosts,
                                                   guint16 port);
/* NULL is ignored. */
void dinv_dns_resolver_files_free(DinvDnsResolverFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvDnsResolverFiles, dinv_dns_resolver_files_free)

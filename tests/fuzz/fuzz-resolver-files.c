/* SPDX-License-Identifier: MIT */
/* resolv.conf, and hosts behind a NUL: what comes out is bounded, and can go into a line of
 * a file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/dns/query.h"
#include "launcher/dns/resolver-files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_words(GStrv words) {
    if (g_strv_length(words) > 64) {
        abort();
    }
    for (guint i = 0; words[i] != NULL; i++) {
        for (const char *at = words[i]; *at != '\0'; at++) {
            if (!g_ascii_isgraph(*at)) {
                abort();
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *resolv_conf = g_strndup((const char *)data, size);
    size_t len = strnlen((const char *)data, size);
    g_autofree char *hosts =
        len < size ? g_strndup((const char *)data + len + 1, size - len - 1) : NULL;
    g_autoptr(DinvDnsResolverFiles) files =
        dinv_dns_resolver_files_parse(resolv_conf, hosts, DINV_DNS_PORT);
    if (files->servers->len < 1 || files->servers->len > DINV_DNS_SERVERS_MAX) {
        abort();
    }
    check_words(files->search);
    check_words(files->options);
    GHashTableIter iterator;
    gpointer addresses;
    g_hash_table_iter_init(&iterator, files->hosts);
    while (g_hash_table_iter_next(&iterator, NULL, &addresses)) {
        const GPtrArray *list = addresses;
        if (list->len < 1 || list->len > 8) {
            abort();
        }
    }
    return 0;
}

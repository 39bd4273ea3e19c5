/* SPDX-License-Identifier: MIT */
/* Under which names and addresses clients may know this container. */
#include "launcher/tls/store.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 256u

static void add_tls_name(GHashTable *seen, GStrvBuilder *builder, const char *kind,
                         const char *name) {
    g_autofree char *lower = g_ascii_strdown(name, -1);
    g_autofree char *text = g_strconcat(kind, lower, NULL);
    if (!g_hash_table_contains(seen, text)) {
        g_strv_builder_add(builder, text);
        g_hash_table_add(seen, g_steal_pointer(&text));
    }
}

/* In the one form that inet_ntop() gives it. */
static void add_tls_address(GHashTable *seen, GStrvBuilder *builder, int family,
                            const void *address) {
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, text, sizeof text) != NULL) {
        add_tls_name(seen, builder, "IP:", text);
    }
}

static void add_own_addresses(GHashTable *seen, GStrvBuilder *builder) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0) {
        return;
    }
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        if (one->ifa_addr == NULL || g_hash_table_size(seen) > ADDRESSES_MAX) {
            continue;
        }
        if (one->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *ipv4 =
                (const struct sockaddr_in *)(const void *)one->ifa_addr;
            add_tls_address(seen, builder, AF_INET, &ipv4->sin_addr);
        } else if (one->ifa_addr->sa_family == AF_INET6) {
            const struct sockaddr_in6 *ipv6 =
                (const struct sockaddr_in6 *)(const void *)one->ifa_addr;
            /* A link-local address is none without its interface, which no certificate names. */
            if (!IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr)) {
                add_tls_address(seen, builder, AF_INET6, &ipv6->sin6_addr);
            }
        }
    }
    freeifaddrs(all);
}

static void add_given_name(GHashTable *seen, GStrvBuilder *builder, const char *name) {
    struct in6_addr address;
    if (g_str_has_prefix(name, "DNS:")) {
        add_tls_name(seen, builder, "DNS:", name + strlen("DNS:"));
    } else if (inet_pton(AF_INET, name + strlen("IP:"), &address) == 1) {
        add_tls_address(seen, builder, AF_INET, &address);
    } else if (inet_pton(AF_INET6, name + strlen("IP:"), &address) == 1) {
        add_tls_address(seen, builder, AF_INET6, &address);
    }
}

char **dinv_tls_list_names(const char *const *more) {
    static const char *const always[] = {"DNS:docker", "DNS:localhost", "IP:127.0.0.1", "IP:::1"};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *host = g_get_host_name();
    for (guint i = 0; i < G_N_ELEMENTS(always); i++) {
        add_given_name(seen, builder, always[i]);
    }
    if (host[0] != '\0' && g_str_is_ascii(host)) {
        add_tls_name(seen, builder, "DNS:", host);
    }
    add_own_addresses(seen, builder);
    for (gsize i = 0; more != NULL && more[i] != NULL; i++) {
        add_given_name(seen, builder, more[i]);
    }
    return g_strv_builder_end(builder);
}

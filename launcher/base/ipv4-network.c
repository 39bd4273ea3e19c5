/* SPDX-License-Identifier: MIT */
/* Arithmetic with addresses and prefixes in host byte order. */
#include "launcher/base/ipv4-network.h"

#include <arpa/inet.h>
#include <string.h>

static guint32 mask_of(guint prefix) {
    return prefix == 0 ? 0 : 0xffffffffu << (32 - prefix);
}

gboolean dinv_ipv4_network_overlaps(const DinvIpv4Network *a, const DinvIpv4Network *b) {
    guint32 mask = mask_of(MIN(a->prefix, b->prefix));
    return (a->address & mask) == (b->address & mask);
}

DinvIpv4Network dinv_ipv4_network_of(const DinvIpv4Network *host) {
    return (DinvIpv4Network){host->address & mask_of(host->prefix), host->prefix};
}

gboolean dinv_ipv4_network_parse(const char *text, DinvIpv4Network *network) {
    const char *slash = strchr(text, '/');
    guint64 prefix = 0;
    struct in_addr address;
    if (slash == NULL || !g_ascii_string_to_unsigned(slash + 1, 10, 1, 32, &prefix, NULL)) {
        return FALSE;
    }
    g_autofree char *dotted = g_strndup(text, (gsize)(slash - text));
    if (inet_pton(AF_INET, dotted, &address) != 1) {
        return FALSE;
    }
    guint32 value = ntohl(address.s_addr);
    guint first = value >> 24;
    if (first == 0 || first == 127 || first >= 224) {
        return FALSE;
    }
    *network = (DinvIpv4Network){value, (guint)prefix};
    return TRUE;
}

char *dinv_ipv4_network_address_to_string(const DinvIpv4Network *host) {
    return g_strdup_printf("%u.%u.%u.%u", host->address >> 24, (host->address >> 16) & 255,
                           (host->address >> 8) & 255, host->address & 255);
}

char *dinv_ipv4_network_host_to_string(const DinvIpv4Network *network, guint32 host) {
    DinvIpv4Network address = dinv_ipv4_network_of(network);
    address.address += host;
    return dinv_ipv4_network_address_to_string(&address);
}

char *dinv_ipv4_network_to_string(const DinvIpv4Network *network) {
    g_autofree char *address = dinv_ipv4_network_host_to_string(network, 0);
    return g_strdup_printf("%s/%u", address, network->prefix);
}

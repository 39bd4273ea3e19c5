/* SPDX-License-Identifier: MIT */
/* Where the engine answers over TCP, and the names in its certificate. */
#include "launcher/settings/types.h"

#include <arpa/inet.h>
#include <string.h>

#define NAMES_MAX    64u
#define DNS_NAME_MAX 253u

gboolean dinv_settings_parse_tcp_address(const char *text, DinvTcpAddress *address,
                                         GError **error) {
    if (!dinv_tcp_address_parse(text, address)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not a port (1-65535) or ADDRESS:PORT, "
                    "such as 127.0.0.1:2375 or [::1]:2375",
                    text);
        return FALSE;
    }
    return TRUE;
}

static gboolean is_dns_name(const char *name) {
    static const char accepted[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    gsize length = strlen(name);
    if (g_str_has_prefix(name, "*.")) { /* a wildcard stands for the first label alone */
        name += 2;
    }
    return length <= DNS_NAME_MAX && name[0] != '\0' && name[strspn(name, accepted)] == '\0';
}

static gboolean is_ip_address(const char *text) {
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

gboolean dinv_settings_parse_certificate_names(const char *text, char ***names, GError **error) {
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    guint count = 0;
    for (gsize i = 0; items[i] != NULL; i++) {
        const char *item = g_strstrip(items[i]);
        if (item[0] == '\0') {
            continue;
        }
        if (!(g_str_has_prefix(item, "DNS:") && is_dns_name(item + strlen("DNS:"))) &&
            !(g_str_has_prefix(item, "IP:") && is_ip_address(item + strlen("IP:")))) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "\"%s\" is neither DNS:NAME nor IP:ADDRESS", item);
            return FALSE;
        }
        if (count++ == NAMES_MAX) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "these are more than %u names", NAMES_MAX);
            return FALSE;
        }
        g_strv_builder_add(builder, item);
    }
    g_strfreev(*names);
    *names = g_strv_builder_end(builder);
    return TRUE;
}

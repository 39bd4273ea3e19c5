/* SPDX-License-Identifier: MIT */
#include "launcher/engine/proxies.h"

#include <gio/gio.h>
#include <string.h>

#include "launcher/base/text.h"

/* Longer ones are a mistake, and the message to the guest has its limits. */
#define VALUE_MAX_BYTES (4u << 10)

static const char *const proxy_names[] = {"HTTP_PROXY",  "http_proxy", "HTTPS_PROXY",
                                          "https_proxy", "ALL_PROXY",  "all_proxy"};
static const char *const exception_names[] = {"NO_PROXY", "no_proxy"};

/* A password may be in it, so the message does not show the value. */
static gboolean find_one(char *const *environment, const char *name, GStrvBuilder *found,
                         GError **error) {
    const char *value = g_environ_getenv((char **)environment, name);
    if (value == NULL || value[0] == '\0') {
        return TRUE;
    }
    if (!dinv_text_is_printable(value, "") || strlen(value) > VALUE_MAX_BYTES) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: the value is not UTF-8, has control characters in it, or is longer than "
                    "%u KiB",
                    name, VALUE_MAX_BYTES >> 10);
        return FALSE;
    }
    g_autofree char *entry = g_strconcat(name, "=", value, NULL);
    g_strv_builder_add(found, entry);
    return TRUE;
}

char **dinv_engine_proxies_find(char *const *environment, GError **error) {
    g_autoptr(GStrvBuilder) found = g_strv_builder_new();
    for (guint i = 0; i < G_N_ELEMENTS(proxy_names); i++) {
        if (!find_one(environment, proxy_names[i], found, error)) {
            return NULL;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(exception_names); i++) {
        if (!find_one(environment, exception_names[i], found, error)) {
            return NULL;
        }
    }
    return g_strv_builder_end(found);
}

static gboolean is_loopback(const char *host, gsize length) {
    g_autofree char *text = g_ascii_strdown(host, (gssize)length);
    if (strcmp(text, "localhost") == 0 || g_str_has_suffix(text, ".localhost")) {
        return TRUE;
    }
    if (text[0] == '[' && g_str_has_suffix(text, "]")) {
        text[length - 1] = '\0';
        memmove(text, text + 1, length - 1);
    }
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(text);
    return address != NULL && g_inet_address_get_is_loopback(address);
}

char *dinv_engine_proxies_translate(const char *proxy, const char *gateway) {
    const char *scheme = strstr(proxy, "://");
    const char *host = scheme != NULL ? scheme + strlen("://") : proxy;
    const char *end = host + strcspn(host, "/?#");
    for (const char *p = host; p < end; p++) { /* a password may have an @ in it: the last counts */
        if (*p == '@') {
            host = p + 1;
        }
    }
    const char *bracket = *host == '[' ? memchr(host, ']', (gsize)(end - host)) : NULL;
    const char *colon = bracket != NULL ? bracket + 1 : memchr(host, ':', (gsize)(end - host));
    const char *behind = colon != NULL ? colon : end;
    if (!is_loopback(host, (gsize)(behind - host))) {
        return g_strdup(proxy);
    }
    return g_strdup_printf("%.*s%s%s", (int)(host - proxy), proxy, gateway, behind);
}

/* Names and networks that no proxy outside knows. */
static char *list_inner(const DinvEngineNetworkPlan *plan) {
    g_autoptr(GString) list = g_string_new("host.docker.internal");
    const DinvIpv4Network bridge = dinv_ipv4_network_of(&plan->bridge);
    g_autofree char *slirp = dinv_ipv4_network_to_string(&plan->slirp);
    g_autofree char *docker0 = dinv_ipv4_network_to_string(&bridge);
    g_string_append_printf(list, ",%s,%s", slirp, docker0);
    for (guint i = 0; i < plan->pools->len; i++) {
        g_autofree char *pool = dinv_ipv4_network_to_string(
            &g_array_index(plan->pools, DinvEngineAddressPool, i).network);
        g_string_append_printf(list, ",%s", pool);
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

static gboolean is_exception(const char *entry) {
    return g_str_has_prefix(entry, "NO_PROXY=") || g_str_has_prefix(entry, "no_proxy=");
}

char **dinv_engine_proxies_for_engine(char *const *found, const DinvEngineNetworkPlan *plan) {
    g_autoptr(GStrvBuilder) result = g_strv_builder_new();
    g_autofree char *gateway = dinv_ipv4_network_host_to_string(&plan->slirp, 2);
    g_autofree char *inner = list_inner(plan);
    gboolean has_proxy = FALSE;
    gboolean has_exception = FALSE;
    for (guint i = 0; found[i] != NULL; i++) {
        const char *value = strchr(found[i], '=') + 1;
        g_autofree char *entry = NULL;
        if (is_exception(found[i])) {
            has_exception = TRUE;
            entry = g_strconcat(found[i], ",", inner, NULL);
        } else {
            g_autofree char *translated = dinv_engine_proxies_translate(value, gateway);
            has_proxy = TRUE;
            entry = g_strdup_printf("%.*s%s", (int)(value - found[i]), found[i], translated);
        }
        g_strv_builder_add(result, entry);
    }
    if (has_proxy && !has_exception) {
        g_autofree char *entry = g_strconcat("NO_PROXY=", inner, NULL);
        g_strv_builder_add(result, entry);
    }
    return has_proxy ? g_strv_builder_end(result) : g_new0(char *, 1);
}

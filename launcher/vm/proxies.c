/* SPDX-License-Identifier: MIT */
/* Proxies and their exceptions, put together for the engine. */
#include "launcher/vm/proxies.h"

#include <string.h>

#include "launcher/engine/proxies.h"

/* The names and networks that no proxy outside knows, separated by commas. Transfer full. */
static char *list_inner_networks(const DinvEngineNetworkPlan *plan) {
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

char **dinv_vm_proxies_for_engine(char *const *found, const DinvEngineNetworkPlan *plan) {
    g_autoptr(GStrvBuilder) result = g_strv_builder_new();
    g_autofree char *gateway = dinv_ipv4_network_host_to_string(&plan->slirp, 2);
    g_autofree char *inner = list_inner_networks(plan);
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

/* SPDX-License-Identifier: MIT */
/* What the outer container must have free for the network: ports to forward, and addresses for the
 * inner networks. */
#include "launcher/engine/network-plan.h"

#include <errno.h>
#include <netinet/in.h>

#include "launcher/base/port.h"
#include "launcher/preflight/checks.h"

void dinv_preflight_check_ports(const DinvConfig *config, DinvPreflight *result) {
    gboolean good = TRUE;
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        const char *setting =
            forward->protocol == DINV_PROTOCOL_TCP ? "DINV_TCP_PORTS" : "DINV_UDP_PORTS";
        guint port = forward->host_port;
        int error =
            dinv_port_try_bind(forward->protocol, (struct in_addr){INADDR_ANY}, forward->host_port);
        if (error == 0) {
            continue;
        }
        good = FALSE;
        dinv_preflight_report_add(result->report, "port", DINV_PREFLIGHT_FAILED,
                                  error == EADDRINUSE
                                      ? g_strdup_printf("%s: port %u is taken", setting, port)
                                      : g_strdup_printf("%s: port %u cannot be bound: %s", setting,
                                                        port, g_strerror(error)),
                                  g_strdup("name another, as in 18080:8080, or stop who uses it"));
    }
    if (good && config->ports->len > 0) {
        dinv_preflight_report_add(result->report, "port", DINV_PREFLIGHT_OK,
                                  g_strdup_printf("%u to forward, all free", config->ports->len),
                                  NULL);
    }
}

/* An address that the user chose must not overlap anything; of those that dinv chose, something
 * does only where nothing was free. */
void dinv_preflight_check_network(const DinvConfig *config, DinvPreflight *result) {
    const DinvEngineConfig *engine = result->findings.engine;
    const GArray *outer = result->findings.outer_networks;
    const gboolean wanted[] = {
        [DINV_ENGINE_NETWORK_PLAN_SLIRP] = config->subnet.prefix != 0,
        [DINV_ENGINE_NETWORK_PLAN_BRIDGE] = engine != NULL && engine->bip.prefix != 0,
        [DINV_ENGINE_NETWORK_PLAN_POOLS] = FALSE,
    };
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_for(config, engine, outer);
    gboolean good = TRUE;
    for (guint part = 0; part < G_N_ELEMENTS(wanted); part++) {
        g_autoptr(GPtrArray) conflicts = dinv_engine_network_plan_list_conflicts(plan, part, outer);
        for (guint i = 0; i < conflicts->len; i++) {
            good = FALSE;
            dinv_preflight_report_add(
                result->report, "network",
                wanted[part] ? DINV_PREFLIGHT_FAILED : DINV_PREFLIGHT_WARNING,
                g_strdup(conflicts->pdata[i]),
                g_strdup("set DINV_SUBNET and DINV_BIP to networks that are free, or leave them "
                         "unset"));
        }
    }
    if (good) {
        dinv_preflight_report_add(result->report, "network", DINV_PREFLIGHT_OK,
                                  dinv_engine_network_plan_to_string(plan), NULL);
    }
}

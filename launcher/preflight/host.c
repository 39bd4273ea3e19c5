/* SPDX-License-Identifier: MIT */
/* What the outer container must have free: the socket's path, the ports, addresses for the inner
 * networks. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/base/unix-socket.h"
#include "launcher/preflight/checks.h"

void dinv_preflight_check_socket(const DinvConfig *config, DinvPreflight *result) {
    const char *name = "socket";
    const char *path = config->socket_path;
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *directory = dinv_directory_nearest(parent);
    struct stat status;
    int live;

    if (lstat(path, &status) == 0) {
        live = S_ISSOCK(status.st_mode) ? dinv_unix_socket_is_alive(path) : -ENOTSOCK;
        if (live != 0) {
            dinv_preflight_add(
                result, name, DINV_CHECK_FAILED,
                live == 1
                    ? g_strdup_printf("DINV_SOCKET: something answers at \"%s\" already", path)
                : live == -ENOTSOCK
                    ? g_strdup_printf("DINV_SOCKET: \"%s\" is there and is not a socket", path)
                    : g_strdup_printf("DINV_SOCKET: \"%s\" cannot be used: %s", path,
                                      g_strerror(-live)),
                g_strdup(
                    "remove it (is the host's docker.sock mounted there?), or set DINV_SOCKET to "
                    "another path"));
            return;
        }
    } else if (errno != ENOENT) {
        dinv_preflight_add(
            result, name, DINV_CHECK_FAILED,
            g_strdup_printf("DINV_SOCKET: \"%s\" cannot be used: %s", path, g_strerror(errno)),
            g_strdup("set DINV_SOCKET to another path"));
        return;
    }
    if (access(directory, W_OK | X_OK) < 0) {
        dinv_preflight_add(
            result, name, DINV_CHECK_FAILED,
            g_strdup_printf("DINV_SOCKET: cannot write to \"%s\": %s", directory,
                            g_strerror(errno)),
            g_strdup("set DINV_SOCKET to a path where this user may write, or give the "
                     "container a tmpfs there (docker run --tmpfs /run)"));
        return;
    }
    dinv_preflight_add(result, name, DINV_CHECK_OK, g_strdup(path), NULL);
}

void dinv_preflight_check_ports(const DinvConfig *config, DinvPreflight *result) {
    gboolean good = TRUE;

    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        gboolean tcp = forward->protocol == DINV_PROTOCOL_TCP;
        int error =
            dinv_port_try_bind(forward->protocol, (struct in_addr){INADDR_ANY}, forward->host_port);

        if (error == 0) {
            continue;
        }
        good = FALSE;
        dinv_preflight_add(result, "port", DINV_CHECK_FAILED,
                           error == EADDRINUSE
                               ? g_strdup_printf("%s: port %u is taken",
                                                 tcp ? "DINV_TCP_PORTS" : "DINV_UDP_PORTS",
                                                 forward->host_port)
                               : g_strdup_printf("%s: port %u cannot be bound: %s",
                                                 tcp ? "DINV_TCP_PORTS" : "DINV_UDP_PORTS",
                                                 forward->host_port, g_strerror(error)),
                           g_strdup("name another, as in 18080:8080, or stop who uses it"));
    }
    if (good && config->ports->len > 0) {
        dinv_preflight_add(result, "port", DINV_CHECK_OK,
                           g_strdup_printf("%u to forward, all free", config->ports->len), NULL);
    }
}

/* An address that the user chose must not overlap anything; of those that dinv chose, something
 * does only where nothing was free. */
void dinv_preflight_check_network(const DinvConfig *config, const GArray *outer,
                                  DinvPreflight *result) {
    const gboolean wanted[] = {
        [DINV_ENGINE_NETWORK_PLAN_SLIRP] = config->subnet.prefix != 0,
        [DINV_ENGINE_NETWORK_PLAN_BRIDGE] =
            result->engine != NULL && result->engine->bip.prefix != 0,
        [DINV_ENGINE_NETWORK_PLAN_POOLS] = FALSE,
    };
    DinvEngineNetworkPlan *plan = dinv_engine_network_plan_for(config, result->engine, outer);
    gboolean good = TRUE;

    dinv_engine_network_plan_free(result->network);
    result->network = plan;
    for (guint part = 0; part < G_N_ELEMENTS(wanted); part++) {
        g_autoptr(GPtrArray) conflicts = dinv_engine_network_plan_list_conflicts(plan, part, outer);

        for (guint i = 0; i < conflicts->len; i++) {
            good = FALSE;
            dinv_preflight_add(
                result, "network", wanted[part] ? DINV_CHECK_FAILED : DINV_CHECK_WARNING,
                g_strdup(conflicts->pdata[i]),
                g_strdup("set DINV_SUBNET and DINV_BIP to networks that are free, or leave them "
                         "unset"));
        }
    }
    if (good) {
        dinv_preflight_add(result, "network", DINV_CHECK_OK,
                           dinv_engine_network_plan_to_string(plan), NULL);
    }
}

/* SPDX-License-Identifier: MIT */
/* A listener for each way in; TLS ends in a server of its own (launcher/tls/server.h). */
#include "launcher/vm/endpoints.h"

#include <string.h>

#include "launcher/base/listener.h"
#include "launcher/base/log.h"
#include "launcher/base/path-link.h"
#include "launcher/engine/serving.h"
#include "launcher/tls/server.h"

/* One place where clients come in. */
typedef struct {
    DinvVmEndpoints *endpoints;
    DinvListener *listener;
    gboolean is_tcp;
    gboolean tls;
} Way;

struct DinvVmEndpoints {
    const DinvConfig *config;
    DinvPathLink *link; /* to the first one; NULL: none */
    GPtrArray *ways;    /* of Way*, the unix socket first; empty: nobody is let in any more */
    DinvTlsServer *tls_server; /* NULL: not yet, or nobody comes with TLS */
    void (*client)(int fd, gpointer user);
    gpointer user;
};

static void way_free(gpointer data) {
    Way *way = data;
    dinv_listener_free(way->listener);
    g_free(way);
}

/* Takes the listener over. FALSE if that is NULL. */
static gboolean add_way(DinvVmEndpoints *endpoints, DinvListener *listener, gboolean is_tcp,
                        gboolean tls) {
    if (listener == NULL) {
        return FALSE;
    }
    Way *way = g_new(Way, 1);
    *way = (Way){.endpoints = endpoints, .listener = listener, .is_tcp = is_tcp, .tls = tls};
    g_ptr_array_add(endpoints->ways, way);
    return TRUE;
}

/* --- Binding --- */

static gboolean bind_socket(DinvVmEndpoints *endpoints, const char *path, GError **error) {
    const DinvConfig *config = endpoints->config;
    return add_way(
        endpoints,
        dinv_listener_new(path, config->socket_mode, config->socket_uid, config->socket_gid, error),
        FALSE, FALSE);
}

/* As docker:dind warns, once at the start. */
static void warn_of_open_port(const DinvListener *listener, gboolean tls) {
    dinv_log(DINV_LOG_WARNING,
             "the Docker engine will answer on %s %s: whoever reaches that port is root in the "
             "guest and can read and write DINV_MOUNTS; %s lets in only clients with a certificate",
             dinv_listener_get_name(listener),
             tls ? "with TLS, but to clients without a certificate, too" : "without TLS",
             tls ? "--tlsverify" : "DOCKER_TLS_CERTDIR=/certs has TLS and");
}

static gboolean bind_port(DinvVmEndpoints *endpoints, const DinvConfigPort *port, GError **error) {
    DinvListener *listener = dinv_listener_new_tcp(&port->address, error);
    if (!add_way(endpoints, listener, TRUE, port->tls)) {
        return FALSE;
    }
    if ((!port->tls || endpoints->config->tls_any_client) &&
        !dinv_tcp_address_is_loopback(&port->address)) {
        warn_of_open_port(listener, port->tls);
    }
    return TRUE;
}

DinvVmEndpoints *dinv_vm_endpoints_new(const DinvConfig *config, GError **error) {
    g_autoptr(DinvVmEndpoints) endpoints = g_new0(DinvVmEndpoints, 1);
    endpoints->config = config;
    endpoints->ways = g_ptr_array_new_with_free_func(way_free);
    if (!bind_socket(endpoints, config->socket_path, error)) {
        return NULL;
    }
    for (guint i = 0; config->more_sockets != NULL && i < config->more_sockets->len; i++) {
        if (!bind_socket(endpoints, config->more_sockets->pdata[i], error)) {
            return NULL;
        }
    }
    g_autoptr(GArray) ports = dinv_config_list_ports(config);
    for (guint i = 0; i < ports->len; i++) {
        if (!bind_port(endpoints, &g_array_index(ports, DinvConfigPort, i), error)) {
            return NULL;
        }
    }
    if (config->socket_link != NULL && strcmp(config->socket_link, config->socket_path) != 0) {
        endpoints->link = dinv_path_link_new(config->socket_link, config->socket_path);
    }
    return g_steal_pointer(&endpoints);
}

void dinv_vm_endpoints_stop_listening(DinvVmEndpoints *endpoints) {
    g_clear_pointer(&endpoints->link, dinv_path_link_free);
    g_ptr_array_set_size(endpoints->ways, 0);
    if (endpoints->tls_server != NULL) {
        dinv_tls_server_drop_pending(endpoints->tls_server);
    }
}

void dinv_vm_endpoints_free(DinvVmEndpoints *endpoints) {
    if (endpoints == NULL) {
        return;
    }
    dinv_vm_endpoints_stop_listening(endpoints);
    dinv_tls_server_free(endpoints->tls_server);
    g_ptr_array_unref(endpoints->ways);
    g_free(endpoints);
}

/* --- Serving --- */

static void endpoints_on_tls_client(int fd, gpointer user) {
    DinvVmEndpoints *endpoints = user;
    endpoints->client(fd, endpoints->user);
}

gboolean dinv_vm_endpoints_load_certificates(DinvVmEndpoints *endpoints, GError **error) {
    gboolean is_wanted = FALSE;
    for (guint i = 0; i < endpoints->ways->len; i++) {
        is_wanted = is_wanted || ((const Way *)endpoints->ways->pdata[i])->tls;
    }
    if (!is_wanted) {
        return TRUE;
    }
    g_auto(DinvTlsFiles) files = dinv_engine_serving_get_files(endpoints->config);
    endpoints->tls_server = dinv_tls_server_new(&files, endpoints_on_tls_client, endpoints, error);
    return endpoints->tls_server != NULL;
}

static void endpoints_on_connection(int fd, gpointer user) {
    const Way *way = user;
    DinvVmEndpoints *endpoints = way->endpoints;
    if (way->is_tcp) {
        dinv_tcp_set_options(fd);
    }
    if (way->tls) {
        dinv_tls_server_take(endpoints->tls_server, fd);
    } else {
        endpoints->client(fd, endpoints->user);
    }
}

void dinv_vm_endpoints_serve(DinvVmEndpoints *endpoints, void (*client)(int fd, gpointer user),
                             gpointer user) {
    endpoints->client = client;
    endpoints->user = user;
    for (guint i = 0; i < endpoints->ways->len; i++) {
        Way *way = endpoints->ways->pdata[i];
        if (way->tls && endpoints->tls_server == NULL) {
            continue; /* they wait on */
        }
        dinv_listener_accept_to(way->listener, endpoints_on_connection, way);
    }
}

char **dinv_vm_endpoints_list_paths(const DinvVmEndpoints *endpoints) {
    g_autoptr(GStrvBuilder) paths = g_strv_builder_new();
    for (guint i = 0; i < endpoints->ways->len; i++) {
        const Way *way = endpoints->ways->pdata[i];
        if (!way->is_tcp) {
            g_strv_builder_add(paths, dinv_listener_get_name(way->listener));
        }
    }
    if (endpoints->link != NULL) {
        g_strv_builder_add(paths, dinv_path_link_get_path(endpoints->link));
    }
    return g_strv_builder_end(paths);
}

struct json_object *dinv_vm_endpoints_describe(const DinvVmEndpoints *endpoints) {
    struct json_object *array = json_object_new_array();
    for (guint i = 0; i < endpoints->ways->len; i++) {
        const Way *way = endpoints->ways->pdata[i];
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "address",
                               json_object_new_string(dinv_listener_get_name(way->listener)));
        json_object_object_add(item, "tls", json_object_new_boolean(way->tls));
        json_object_array_add(array, item);
    }
    return array;
}

char *dinv_vm_endpoints_to_string(const DinvVmEndpoints *endpoints) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < endpoints->ways->len; i++) {
        const Way *way = endpoints->ways->pdata[i];
        g_string_append_printf(text, "%s%s%s", i > 0 ? ", " : "",
                               dinv_listener_get_name(way->listener),
                               !way->is_tcp ? ""
                               : way->tls   ? " (TLS)"
                                            : " (no TLS)");
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

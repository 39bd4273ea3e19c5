/* SPDX-License-Identifier: MIT */
/* A listener for each way in; TLS ends in a server of its own (launcher/tls/server.h). */
#include "launcher/vm/endpoints.h"

#include "launcher/base/listener.h"
#include "launcher/base/log.h"
#include "launcher/tls/server.h"

struct DinvVmEndpoints {
    DinvListener *unix_socket; /* NULL when not listening any more, as the others */
    DinvListener *plaintext;   /* NULL if not asked for, as these two */
    DinvListener *tls;
    DinvTlsServer *tls_server;
    void (*client)(int fd, gpointer user);
    gpointer user;
};

/* As docker:dind warns, once at the start. */
static void warn_of_plaintext(const DinvListener *listener) {
    dinv_log(
        DINV_LOG_WARNING,
        "the Docker engine will answer on %s without TLS: whoever reaches that port is root in "
        "the guest and can read and write DINV_MOUNTS; DOCKER_TLS_CERTDIR=/certs has TLS and "
        "lets in only clients with a certificate",
        dinv_listener_get_name(listener));
}

static void endpoints_on_tls_client(int fd, gpointer user) {
    DinvVmEndpoints *endpoints = user;
    endpoints->client(fd, endpoints->user);
}

static gboolean start_tls(DinvVmEndpoints *endpoints, const DinvConfig *config, GError **error) {
    g_auto(DinvTlsFiles) files = dinv_tls_store_get_files(config->tls_directory);
    endpoints->tls_server = dinv_tls_server_new(&files, endpoints_on_tls_client, endpoints, error);
    if (endpoints->tls_server == NULL) {
        return FALSE;
    }
    endpoints->tls = dinv_listener_new_tcp(&config->tls, error);
    return endpoints->tls != NULL;
}

DinvVmEndpoints *dinv_vm_endpoints_new(const DinvConfig *config, GError **error) {
    g_autoptr(DinvVmEndpoints) endpoints = g_new0(DinvVmEndpoints, 1);
    endpoints->unix_socket = dinv_listener_new(config->socket_path, config->socket_mode,
                                               config->socket_uid, config->socket_gid, error);
    if (endpoints->unix_socket == NULL) {
        return NULL;
    }
    if (config->plaintext.port != 0) {
        endpoints->plaintext = dinv_listener_new_tcp(&config->plaintext, error);
        if (endpoints->plaintext == NULL) {
            return NULL;
        }
        warn_of_plaintext(endpoints->plaintext);
    }
    if (config->tls_directory != NULL && !start_tls(endpoints, config, error)) {
        return NULL;
    }
    return g_steal_pointer(&endpoints);
}

void dinv_vm_endpoints_stop_listening(DinvVmEndpoints *endpoints) {
    g_clear_pointer(&endpoints->unix_socket, dinv_listener_free);
    g_clear_pointer(&endpoints->plaintext, dinv_listener_free);
    g_clear_pointer(&endpoints->tls, dinv_listener_free);
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
    g_free(endpoints);
}

static void endpoints_on_tls_connection(int fd, gpointer user) {
    DinvVmEndpoints *endpoints = user;
    dinv_tcp_set_options(fd);
    dinv_tls_server_take(endpoints->tls_server, fd);
}

static void endpoints_on_tcp_client(int fd, gpointer user) {
    DinvVmEndpoints *endpoints = user;
    dinv_tcp_set_options(fd);
    endpoints->client(fd, endpoints->user);
}

void dinv_vm_endpoints_serve(DinvVmEndpoints *endpoints, void (*client)(int fd, gpointer user),
                             gpointer user) {
    endpoints->client = client;
    endpoints->user = user;
    dinv_listener_accept_to(endpoints->unix_socket, client, user);
    if (endpoints->plaintext != NULL) {
        dinv_listener_accept_to(endpoints->plaintext, endpoints_on_tcp_client, endpoints);
    }
    if (endpoints->tls != NULL) {
        dinv_listener_accept_to(endpoints->tls, endpoints_on_tls_connection, endpoints);
    }
}

static void add_description(struct json_object *array, const DinvListener *listener, gboolean tls) {
    if (listener == NULL) {
        return;
    }
    struct json_object *item = json_object_new_object();
    json_object_object_add(item, "address",
                           json_object_new_string(dinv_listener_get_name(listener)));
    json_object_object_add(item, "tls", json_object_new_boolean(tls));
    json_object_array_add(array, item);
}

struct json_object *dinv_vm_endpoints_describe(const DinvVmEndpoints *endpoints) {
    struct json_object *array = json_object_new_array();
    add_description(array, endpoints->unix_socket, FALSE);
    add_description(array, endpoints->plaintext, FALSE);
    add_description(array, endpoints->tls, TRUE);
    return array;
}

char *dinv_vm_endpoints_to_string(const DinvVmEndpoints *endpoints) {
    g_autoptr(GString) text = g_string_new(dinv_listener_get_name(endpoints->unix_socket));
    if (endpoints->plaintext != NULL) {
        g_string_append_printf(text, ", %s (no TLS)", dinv_listener_get_name(endpoints->plaintext));
    }
    if (endpoints->tls != NULL) {
        g_string_append_printf(text, ", %s (TLS)", dinv_listener_get_name(endpoints->tls));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

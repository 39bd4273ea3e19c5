/* SPDX-License-Identifier: MIT */
/*
 * Where the Docker engine answers: unix sockets, and TCP ports without and with TLS as the settings
 * ask for. Whatever way a client came, what is handed on is a stream socket with the
 * engine's plain protocol on it.
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/settings/config.h"

typedef struct DinvVmEndpoints DinvVmEndpoints;

/* Binds all of them; clients wait in the kernel's queues until dinv_vm_endpoints_serve().
 * `config` is borrowed. NULL on failure: nothing is left bound. */
DinvVmEndpoints *dinv_vm_endpoints_new(const DinvConfig *config, GError **error);
/* Whoever is in with TLS gets what is there for him by then, as far as he takes it at once. */
void dinv_vm_endpoints_free(DinvVmEndpoints *endpoints);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmEndpoints, dinv_vm_endpoints_free)

/* Loads the certificates, if anybody can come with TLS; they are there already
 * (dinv_tls_store_prepare()). Before dinv_vm_endpoints_serve(). Blocks for file I/O. */
gboolean dinv_vm_endpoints_load_certificates(DinvVmEndpoints *endpoints,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* From now on gives every client (nonblocking, close-on-exec, owned by the callee) to `client`,
 * from the default GMainContext. Those with TLS wait on if no certificates were loaded. */
void dinv_vm_endpoints_serve(DinvVmEndpoints *endpoints, void (*client)(int fd, gpointer user),
                             gpointer user);

/* Lets nobody in any more; those who are in stay. */
void dinv_vm_endpoints_stop_listening(DinvVmEndpoints *endpoints);

/* The paths of the unix sockets, and of a link to one, which are gone when they are freed.
 * Transfer full. */
char **dinv_vm_endpoints_list_paths(const DinvVmEndpoints *endpoints);

/* For `dinv status`: an array of {"address", "tls"}. */
struct json_object *dinv_vm_endpoints_describe(const DinvVmEndpoints *endpoints);

/* For people: "/var/run/docker.sock, tcp://…:2376 (TLS)". Transfer full. */
char *dinv_vm_endpoints_to_string(const DinvVmEndpoints *endpoints);

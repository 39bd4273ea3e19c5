/* SPDX-License-Identifier: MIT */
/*
 * The table of forwarded ports: those declared in the settings, which are there from the start, and
 * those published inside (docker run -p), which the guest asks for. It decides which requests make
 * sense, has dinv-usernet add and remove forwards, and knows why each is there. A declared forward
 * that is published as well is one forward, and stays when the container goes.
 *
 * The room launcher/network: what the running machine is connected to outside: its network, which
 * is the process dinv-usernet, the ports that are forwarded there, and the networks that come and
 * go around it. Which networks are planned is launcher/engine's and does not enter, nor does what a
 * machine is.
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/network/usernet.h"
#include "launcher/settings/config.h"

typedef struct DinvNetworkPublisher DinvNetworkPublisher;

/* A declared port cannot be forwarded; `text` says why, for a person; borrowed. */
typedef void (*DinvNetworkPublisherFailed)(const char *text, gpointer user);

/* `usernet` and `config` are borrowed. Declared ports are forwarded on all addresses, IPv4 and (if
 * the outer container has it) IPv6; `failed` comes from the loop. */
DinvNetworkPublisher *dinv_network_publisher_new(DinvNetworkUsernet *usernet,
                                                 const DinvConfig *config,
                                                 DinvNetworkPublisherFailed failed, gpointer user);
/* Requests that are under way are not answered any more. */
void dinv_network_publisher_free(DinvNetworkPublisher *publisher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvNetworkPublisher, dinv_network_publisher_free)

/* `error` is a sentence for a person, NULL for success; borrowed. */
typedef void (*DinvNetworkPublisherDone)(const char *error, gpointer user);

/* The guest's requests `publish` and `unpublish` (docs/control-protocol.md): untrusted, as is every
 * field of `request`, which is borrowed for the call. `done` runs once, now or later. When a
 * publish is done the port answers, when an unpublish is, it does not. */
void dinv_network_publisher_publish(DinvNetworkPublisher *publisher, struct json_object *request,
                                    DinvNetworkPublisherDone done, gpointer user);
void dinv_network_publisher_unpublish(DinvNetworkPublisher *publisher, struct json_object *request,
                                      DinvNetworkPublisherDone done, gpointer user);

/* An array of {"protocol", "address", "host_port", "guest_port", "declared", "containers": [address
 * and port, …]}, to be owned by the caller. */
struct json_object *dinv_network_publisher_describe(const DinvNetworkPublisher *publisher);

/* What dinv_network_usernet_list_finish() gave, as an array of {"protocol", "address", "host_port",
 * "guest_port", "connections", "open", "bytes_to_guest", "bytes_from_guest"}, to be owned by the
 * caller. */
struct json_object *dinv_network_publisher_describe_list(const GArray *forwards);

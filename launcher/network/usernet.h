/* SPDX-License-Identifier: MIT */
/*
 * The guest's network: the process dinv-usernet (usernet/), started here, told which ports to
 * forward, and started again when it dies. Both ends of the frames' socket pair stay here, so that
 * a new process goes on with the same machine; the forwards are added to it again, open connections
 * are reset.
 *
 * Everything runs in the default main context and does not block but for the start of the process,
 * and in free.
 */
#pragma once

#include <gio/gio.h>

#include "usernet/protocol.h"

typedef struct DinvNetworkUsernet DinvNetworkUsernet;

typedef struct {
    const char *program; /* a name or a path */
    const char *network; /* the guest's, "10.0.2.0/24" */
    guint mtu;           /* of the link to the guest, in bytes */
} DinvNetworkUsernetPlan;

/* The descriptors that the process inherits. */
#define DINV_NETWORK_USERNET_FRAMES_FD  3
#define DINV_NETWORK_USERNET_CONTROL_FD 4

/* Its command line, program name included, NULL-terminated; to be freed with g_strfreev(). */
char **dinv_network_usernet_argv(const DinvNetworkUsernetPlan *plan) G_GNUC_WARN_UNUSED_RESULT;

/* It died twice within a minute, or cannot be started again: there is no network any more. `text`
 * says what happened, for a person; borrowed. At most once; must not free the usernet. */
typedef void (*DinvNetworkUsernetLost)(const char *text, gpointer user);

/* Errors of the calls below; the code is an errno. */
#define DINV_NETWORK_USERNET_ERROR (dinv_network_usernet_error_quark())
GQuark dinv_network_usernet_error_quark(void);

/* Starts the process. `plan` is borrowed for the whole life. NULL, with a message fit to show to a
 * person, when it cannot be started; then nothing is left behind. */
DinvNetworkUsernet *dinv_network_usernet_new(const DinvNetworkUsernetPlan *plan,
                                             DinvNetworkUsernetLost lost, gpointer user,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Kills the process and waits for its end. Calls that are under way end with ECANCELED, from the
 * loop. NULL is ignored. */
void dinv_network_usernet_free(DinvNetworkUsernet *usernet);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvNetworkUsernet, dinv_network_usernet_free)

/* The machine's end of the network, for dinv_machine_start(): a datagram socket with one Ethernet
 * frame a message. Borrowed. */
int dinv_network_usernet_get_machine_fd(const DinvNetworkUsernet *usernet);
/* pid of the process; 0 if there is none at the moment. */
GPid dinv_network_usernet_get_pid(const DinvNetworkUsernet *usernet);
/* How it is confined: the comma list of its `ready`, or "none"; NULL before it said so. Borrowed.
 */
const char *dinv_network_usernet_get_features(const DinvNetworkUsernet *usernet);

/* Each ends with a GTask-style callback: TRUE, or an error of the domain above whose message is fit
 * to show to a person, as Docker's own port proxy puts it ("listen tcp 0.0.0.0:8080: bind: address
 * already in use"). ETIMEDOUT after 10 seconds without an answer: then nothing stays forwarded. */
void dinv_network_usernet_add(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                              guint16 guest_port, GAsyncReadyCallback callback, gpointer user);
void dinv_network_usernet_remove(DinvNetworkUsernet *usernet, const DinvUsernetEndpoint *endpoint,
                                 GAsyncReadyCallback callback, gpointer user);
gboolean dinv_network_usernet_finish(GAsyncResult *result, GError **error);

/* The forwards as the process has them, with their counters: a GArray of DinvUsernetReply, all of
 * the type DINV_USERNET_FORWARD. Transfer full. */
void dinv_network_usernet_list(DinvNetworkUsernet *usernet, GAsyncReadyCallback callback,
                               gpointer user);
GArray *dinv_network_usernet_list_finish(GAsyncResult *result, GError **error);

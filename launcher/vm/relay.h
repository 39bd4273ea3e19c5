/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the relay: the multiplexer (relay/mux.h) over the machine's relay channel
 * in the default GMainContext, and bridges between local sockets and services of the guest.
 */
#pragma once

#include <gio/gio.h>

#include "relay/mux.h"

typedef struct DinvVmRelay DinvVmRelay;

/* Fewer than the guest's side takes, which may learn later than this one that a stream is over. */
#define DINV_VM_RELAY_STREAMS_MOST 4000u

/* Takes `fd`, a nonblocking stream socket. There are `streams_most` streams at once (4096 at most);
 * clients beyond wait until one of them is over. `closed` (may be NULL) runs once, from the loop,
 * when the channel ends; all bridges were broken off before. A peer that breaks the protocol loses
 * all bridges too, and the session starts anew (docs/relay-protocol.md, "Protocol errors"). Must
 * not be freed from within `closed`. */
DinvVmRelay *dinv_vm_relay_new(int fd, guint streams_most, void (*closed)(gpointer user),
                               gpointer user);
void dinv_vm_relay_free(DinvVmRelay *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmRelay, dinv_vm_relay_free)

/* Joins `client_fd` (a stream socket, taken in every case) to a new stream to `service` of the
 * guest until both directions are over. FALSE when no stream can be opened, as the
 * channel has ended. Neither reads nor writes the client from within the call. */
gboolean dinv_vm_relay_bridge(DinvVmRelay *host, const char *service, const void *argument,
                              gsize argument_length, int client_fd, GError **error);

void dinv_vm_relay_get_stats(const DinvVmRelay *host, DinvRelayStats *stats);

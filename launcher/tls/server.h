/* SPDX-License-Identifier: MIT */
/*
 * The clients of the port with TLS: who may come in, how many may try at a time, and what is said
 * of those that are refused. Clients that have yet to prove who they are are bounded in number and
 * time; when too many of them are there, the oldest goes, so that those which hold on keep nobody
 * out.
 */
#pragma once

#include <gio/gio.h>

#include "launcher/tls/store.h"

typedef struct DinvTlsServer DinvTlsServer;

/* The bounds: a pipeline's jobs that all begin at once fit in, also where the machine is busy. */
#define DINV_TLS_PENDING_MAX  400u
#define DINV_TLS_HANDSHAKE_MS 30000u

/* Loads the files, which blocks; without a file of CAs clients need show no certificate. NULL
 * with a DINV_TLS_ERROR (files.h). `client` gets a plain stream socket (nonblocking, close-on-
 * exec, owned by the callee) for each client that proved who it is, from the default
 * GMainContext. */
DinvTlsServer *dinv_tls_server_new(const DinvTlsFiles *files, void (*client)(int fd, gpointer user),
                                   gpointer user, GError **error);
/* Breaks off all connections, without a callback. NULL is ignored. */
void dinv_tls_server_free(DinvTlsServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvTlsServer, dinv_tls_server_free)

/* Takes a connection, a nonblocking stream socket. Neither reads nor writes within the call. */
void dinv_tls_server_take(DinvTlsServer *server, int fd);

/* Drops those who have yet to prove who they are. */
void dinv_tls_server_drop_pending(DinvTlsServer *server);

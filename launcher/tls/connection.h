/* SPDX-License-Identifier: MIT */
/*
 * One client with TLS: the handshake, and then a bridge between its records and a plain stream
 * socket, with half-close in both directions (close_notify <-> shutdown(SHUT_WR)). Never blocks,
 * buffers at most one record each way, runs in the default GMainContext. What a client sends before
 * it has shown a good certificate is untrusted, and goes to GnuTLS alone.
 *
 *   HANDSHAKE -> OPEN -> LINGER -> (ended)
 *
 * A client whose handshake fails goes to LINGER at once, and is ended there: it is given a moment
 * to read why, because a close with bytes of it unread would take the alert away again.
 */
#pragma once

#include <gio/gio.h>
#include <gnutls/gnutls.h>

typedef struct DinvTlsConnection DinvTlsConnection;

typedef struct {
    /* The client proved who it is. `plain_fd` (nonblocking, close-on-exec, owned by the callee) has
     * what it says. At most once; must not free the connection. */
    void (*established)(DinvTlsConnection *connection, int plain_fd, gpointer user);
    /* All is over; the last callback, in which the connection may be freed. `refused`: why it never
     * was established, a sentence without a subject ("showed no certificate"); NULL if it was, or
     * if it hung up before it had said anything wrong. */
    void (*ended)(DinvTlsConnection *connection, const char *refused, gpointer user);
} DinvTlsConnectionCallbacks;

/* Takes `fd`, a nonblocking stream socket. `credentials` and `priority` are borrowed for the
 * connection's life, `callbacks` is copied; with `any_client` no certificate is asked for; no
 * callback comes from within. NULL on failure: then `fd` was closed. */
DinvTlsConnection *dinv_tls_connection_new(int fd, gnutls_certificate_credentials_t credentials,
                                           gnutls_priority_t priority, gboolean any_client,
                                           guint handshake_ms,
                                           const DinvTlsConnectionCallbacks *callbacks,
                                           gpointer user);

/* Breaks off what still runs, without a callback. The client gets what the plain side has for it,
 * as far as it takes that at once. */
void dinv_tls_connection_free(DinvTlsConnection *connection);

/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Two directions once it is OPEN:
 *
 *   in:  client -> plain. Ends with the client's close_notify, passed on as shutdown(SHUT_WR), or
 *        when nobody reads the plain side any more: then what the client still sends is thrown
 *        away, so that it comes to read the answer that it is being sent.
 *   out: plain -> client. Ends with the plain side's EOF, passed on as close_notify.
 *
 * When both are over, or one broke, the connection lingers and ends. A client that is cut off
 * without close_notify broke: what it had sent may not be all.
 *
 * poll() reports a hang-up for as long as the descriptor is in the set, so one that hung up is only
 * in the set while reading from it can make progress. Reading always asks for a whole record, so
 * none of a record stays behind in GnuTLS, where no poll() would see it.
 */
#include "launcher/tls/connection.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/tls/refusal.h"

#define RECORD_BYTES 16384u
/* Records that are moved before others have their turn. */
#define ROUNDS 16u
/* How long an ended client may take to close its side, and what it may still send. */
#define LINGER_US    (2 * (gint64)G_USEC_PER_SEC)
#define LINGER_BYTES (1u << 20)

typedef enum { STATE_HANDSHAKE, STATE_OPEN, STATE_LINGER, STATE_ENDED } State;

typedef struct {
    guint8 bytes[RECORD_BYTES];
    gsize offset;
    gsize length;
} Record;

/* A descriptor in the source's poll set. */
typedef struct {
    int fd;       /* -1: none */
    gpointer tag; /* NULL: not in the set */
    gboolean hung_up;
} Side;

struct DinvTlsConnection {
    GSource *source;
    gnutls_session_t session;
    State state;
    Side client;
    Side plain;
    Record in;
    Record out;
    gboolean in_ended;    /* the client said close_notify */
    gboolean in_over;     /* that was passed on, or nobody wants more */
    gboolean out_ended;   /* the plain side gave EOF */
    gboolean out_over;    /* that was passed on */
    gboolean out_blocked; /* the client takes no more for now */
    gboolean broken;
    gboolean greeted;    /* the client's first byte was seen */
    guint8 last_read[7]; /* while shaking hands: as long as an unencrypted alert */
    gsize lingered;
    char *refused;
    DinvTlsConnectionCallbacks callbacks;
    gpointer user;
};

typedef struct {
    GSource source;
    DinvTlsConnection *connection;
} ConnectionSource;

/* --- Polling --- */

static void set_polled(DinvTlsConnection *connection, Side *side, gboolean wanted,
                       GIOCondition events) {
    if (wanted && side->tag == NULL) {
        side->tag = g_source_add_unix_fd(connection->source, side->fd, events);
    } else if (wanted) {
        g_source_modify_unix_fd(connection->source, side->tag, events);
    } else if (side->tag != NULL) {
        g_source_remove_unix_fd(connection->source, side->tag);
        side->tag = NULL;
    }
}

static void note_hang_up(const DinvTlsConnection *connection, Side *side) {
    if (side->tag != NULL) {
        GIOCondition events = g_source_query_unix_fd(connection->source, side->tag);
        side->hung_up = side->hung_up || (events & (G_IO_HUP | G_IO_ERR)) != 0;
    }
}

static void close_side(DinvTlsConnection *connection, Side *side) {
    set_polled(connection, side, FALSE, 0);
    if (side->fd >= 0) {
        (void)close(side->fd);
        side->fd = -1;
    }
}

static void be_called_at(DinvTlsConnection *connection, gint64 monotonic_us) {
    g_source_set_ready_time(connection->source, monotonic_us);
}

/* --- LINGER --- */

/* TRUE when the client has closed its side, or had its time. */
static gboolean is_lingering_over(DinvTlsConnection *connection) {
    if (g_source_get_time(connection->source) >= g_source_get_ready_time(connection->source)) {
        return TRUE;
    }
    for (guint i = 0; i < ROUNDS; i++) {
        ssize_t got = recv(connection->client.fd, connection->in.bytes, RECORD_BYTES, 0);
        if (got <= 0) {
            return !(got < 0 && (errno == EAGAIN || errno == EINTR));
        }
        connection->lingered += (gsize)got;
        if (connection->lingered > LINGER_BYTES) {
            return TRUE;
        }
    }
    return FALSE;
}

/* The caller's last step: the connection may be freed by it. */
static void tls_end(DinvTlsConnection *connection) {
    connection->state = STATE_ENDED;
    be_called_at(connection, -1);
    close_side(connection, &connection->client);
    close_side(connection, &connection->plain);
    connection->callbacks.ended(connection, connection->refused, connection->user);
}

/* Waits for the client to close its side, or ends the connection at once: the caller's last step,
 * as with tls_end(). */
static void tls_linger(DinvTlsConnection *connection, gboolean client_may_send) {
    close_side(connection, &connection->plain);
    if (!client_may_send || shutdown(connection->client.fd, SHUT_WR) < 0) {
        tls_end(connection);
        return;
    }
    connection->state = STATE_LINGER;
    set_polled(connection, &connection->client, TRUE, G_IO_IN);
    be_called_at(connection, g_get_monotonic_time() + LINGER_US);
}

/* --- HANDSHAKE --- */

static void tls_refuse(DinvTlsConnection *connection, char *reason) {
    connection->refused = reason;
    tls_linger(connection, reason != NULL);
}

/* OpenSSL's clients say in the clear that they do not trust the server's certificate, when GnuTLS
 * expects what is encrypted (RFC 8446, 5.1 and 6.2). What it fails at is what it read last: a whole
 * record, and nothing behind it. */
static int tls_find_plain_alert(const DinvTlsConnection *connection) {
    const guint8 *record = connection->last_read;
    gboolean is_alert = record[0] == 21 && record[1] == 3 && record[3] == 0 && record[4] == 2;
    return is_alert ? record[6] : -1;
}

static void tls_fail_handshake(DinvTlsConnection *connection, int code) {
    char *reason =
        dinv_tls_refusal_to_string(connection->session, code, tls_find_plain_alert(connection));
    if (reason != NULL && code != GNUTLS_E_FATAL_ALERT_RECEIVED) {
        /* It fits into the empty socket buffer, or is lost. */
        (void)gnutls_alert_send_appropriate(connection->session, code);
    }
    tls_refuse(connection, reason);
}

/* Whoever speaks plain HTTP to a port with TLS is told so in HTTP, as dockerd does. TRUE if the
 * connection goes on. */
static gboolean tls_greet(DinvTlsConnection *connection) {
    static const char answer[] = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                 "Connection: close\r\n\r\n"
                                 "Client sent an HTTP request to an HTTPS server.\n";
    char first = 0;
    ssize_t got = recv(connection->client.fd, &first, 1, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return TRUE;
    }
    if (got <= 0) {
        tls_refuse(connection, NULL);
        return FALSE;
    }
    connection->greeted = TRUE;
    if (!g_ascii_isupper(first)) {
        return TRUE;
    }
    (void)send(connection->client.fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    tls_refuse(connection, g_strdup("speaks HTTP without TLS"));
    return FALSE;
}

static gboolean tls_open_plain(DinvTlsConnection *connection) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        tls_refuse(connection, g_strdup_printf("cannot be served: %s", g_strerror(errno)));
        return FALSE;
    }
    connection->plain.fd = fds[0];
    connection->state = STATE_OPEN;
    be_called_at(connection, -1);
    connection->callbacks.established(connection, fds[1], connection->user);
    return TRUE;
}

/* recv(2) for GnuTLS. */
static ssize_t tls_pull(gnutls_transport_ptr_t pointer, void *data, size_t size) {
    DinvTlsConnection *connection = pointer;
    ssize_t got = recv(connection->client.fd, data, size, 0);
    gsize fresh = got > 0 ? MIN((gsize)got, sizeof connection->last_read) : 0;
    gsize kept = sizeof connection->last_read - fresh;
    if (connection->state == STATE_HANDSHAKE && fresh > 0) {
        memmove(connection->last_read, connection->last_read + fresh, kept);
        memcpy(connection->last_read + kept, (const guint8 *)data + (gsize)got - fresh, fresh);
    }
    return got;
}

/* TRUE if the connection is OPEN now. */
static gboolean tls_shake_hands(DinvTlsConnection *connection) {
    if (g_source_get_time(connection->source) >= g_source_get_ready_time(connection->source)) {
        tls_refuse(connection,
                   connection->greeted ? g_strdup("did not finish the handshake in time") : NULL);
        return FALSE;
    }
    if (!connection->greeted && (!tls_greet(connection) || !connection->greeted)) {
        return FALSE;
    }
    int code;
    do {
        code = gnutls_handshake(connection->session);
    } while (code < 0 && code != GNUTLS_E_AGAIN && gnutls_error_is_fatal(code) == 0);
    if (code == 0) {
        return tls_open_plain(connection);
    }
    if (code != GNUTLS_E_AGAIN) {
        tls_fail_handshake(connection, code);
        return FALSE;
    }
    gboolean writes = gnutls_record_get_direction(connection->session) == 1;
    set_polled(connection, &connection->client, TRUE, writes ? G_IO_OUT : G_IO_IN);
    return FALSE;
}

/* --- OPEN --- */

static void tls_break_off(DinvTlsConnection *connection) {
    connection->broken = TRUE;
}

/* Passes on what was read. FALSE if the plain side takes no more for now. */
static gboolean tls_flush_in(DinvTlsConnection *connection) {
    Record *in = &connection->in;
    while (in->length > 0 && !connection->in_over) {
        ssize_t put = send(connection->plain.fd, in->bytes + in->offset, in->length, MSG_NOSIGNAL);
        if (put >= 0) {
            in->offset += (gsize)put;
            in->length -= (gsize)put;
        } else if (errno == EAGAIN) {
            return FALSE;
        } else if (errno != EINTR) {
            connection->in_over = TRUE;
        }
    }
    in->length = 0;
    if (connection->in_ended && !connection->in_over) {
        connection->in_over = TRUE;
        (void)shutdown(connection->plain.fd, SHUT_WR);
    }
    return TRUE;
}

/* Reads one record. FALSE if there is none. */
static gboolean tls_fill_in(DinvTlsConnection *connection) {
    ssize_t got = gnutls_record_recv(connection->session, connection->in.bytes, RECORD_BYTES);
    if (got > 0) {
        connection->in.offset = 0;
        connection->in.length = connection->in_over ? 0 : (gsize)got;
        return TRUE;
    }
    if (got == 0) {
        connection->in_ended = TRUE;
        return TRUE;
    }
    if (got == GNUTLS_E_AGAIN) {
        return FALSE;
    }
    /* A new handshake is what nobody has to ask for here. */
    if (got == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal((int)got) != 0) {
        tls_break_off(connection);
        return FALSE;
    }
    return TRUE; /* interrupted, or a warning */
}

/* TRUE if there may be more to move at once. */
static gboolean tls_move_in(DinvTlsConnection *connection) {
    for (guint i = 0; i < ROUNDS; i++) {
        if (!tls_flush_in(connection) || connection->in_ended || !tls_fill_in(connection)) {
            return FALSE;
        }
    }
    return tls_flush_in(connection) && !connection->in_ended;
}

/* Passes on what was read, and then the end. FALSE if the client takes no more for now. */
static gboolean tls_flush_out(DinvTlsConnection *connection) {
    Record *out = &connection->out;
    while (out->length > 0) {
        ssize_t put =
            gnutls_record_send(connection->session, out->bytes + out->offset, out->length);
        if (put >= 0) {
            out->offset += (gsize)put;
            out->length -= (gsize)put;
        } else if (put == GNUTLS_E_AGAIN) {
            connection->out_blocked = TRUE;
            return FALSE;
        } else if (gnutls_error_is_fatal((int)put) != 0) {
            tls_break_off(connection);
            return FALSE;
        }
    }
    while (connection->out_ended && !connection->out_over) {
        int code = gnutls_bye(connection->session, GNUTLS_SHUT_WR);
        if (code == GNUTLS_E_AGAIN) {
            connection->out_blocked = TRUE;
            return FALSE;
        }
        if (code < 0 && gnutls_error_is_fatal(code) != 0) {
            tls_break_off(connection);
            return FALSE;
        }
        connection->out_over = code == 0;
    }
    return TRUE;
}

/* Reads what the plain side has. FALSE if there is nothing for now. */
static gboolean tls_fill_out(DinvTlsConnection *connection) {
    ssize_t got = recv(connection->plain.fd, connection->out.bytes, RECORD_BYTES, 0);
    if (got > 0) {
        connection->out.offset = 0;
        connection->out.length = (gsize)got;
        return TRUE;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return FALSE;
    }
    connection->out_ended = TRUE;
    return TRUE;
}

/* TRUE if there may be more to move at once. */
static gboolean tls_move_out(DinvTlsConnection *connection) {
    connection->out_blocked = FALSE;
    for (guint i = 0; i < ROUNDS; i++) {
        if (!tls_flush_out(connection) || connection->out_ended || !tls_fill_out(connection)) {
            return FALSE;
        }
    }
    return tls_flush_out(connection) && !connection->out_ended;
}

/* The caller's last step: what to wait for, or the end. */
static void tls_settle(DinvTlsConnection *connection, gboolean more) {
    if (connection->broken) {
        tls_linger(connection, FALSE);
        return;
    }
    if (connection->in_over && connection->out_over) {
        tls_linger(connection, !connection->in_ended);
        return;
    }
    gboolean read_client = connection->in.length == 0 && !connection->in_ended;
    gboolean read_plain = connection->out.length == 0 && !connection->out_ended;
    set_polled(connection, &connection->client,
               read_client || connection->out_blocked || !connection->client.hung_up,
               (read_client ? G_IO_IN : 0) | (connection->out_blocked ? G_IO_OUT : 0));
    set_polled(connection, &connection->plain, read_plain || !connection->plain.hung_up,
               (read_plain ? G_IO_IN : 0) | (connection->in.length > 0 ? G_IO_OUT : 0));
    be_called_at(connection, more ? 0 : -1);
}

static void tls_move(DinvTlsConnection *connection) {
    /* Nobody is left at the other end of the plain side; there may still be bytes to read. */
    connection->in_over = connection->in_over || connection->plain.hung_up;
    gboolean more = tls_move_in(connection);
    if (!connection->broken) {
        more |= tls_move_out(connection);
    }
    tls_settle(connection, more);
}

/* --- The source --- */

static gboolean tls_on_dispatch(GSource *source, GSourceFunc callback G_GNUC_UNUSED,
                                gpointer user G_GNUC_UNUSED) {
    DinvTlsConnection *connection = ((ConnectionSource *)source)->connection;
    note_hang_up(connection, &connection->client);
    note_hang_up(connection, &connection->plain);
    switch (connection->state) {
    case STATE_HANDSHAKE:
        if (tls_shake_hands(connection)) {
            tls_move(connection); /* the first bytes may have come with the handshake */
        }
        break;
    case STATE_OPEN:
        tls_move(connection);
        break;
    case STATE_LINGER:
        if (is_lingering_over(connection)) {
            tls_end(connection);
        }
        break;
    case STATE_ENDED:
        break;
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {.dispatch = tls_on_dispatch};

/* Unless any client may come in, a client certificate is asked for, has to be there, and has to be
 * good for a client. */
static int set_up_session(DinvTlsConnection *connection,
                          gnutls_certificate_credentials_t credentials, gnutls_priority_t priority,
                          gboolean any_client) {
    static gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                            .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    int code = gnutls_init(&connection->session,
                           GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
    if (code >= 0) {
        code = gnutls_priority_set(connection->session, priority);
    }
    if (code >= 0) {
        code = gnutls_credentials_set(connection->session, GNUTLS_CRD_CERTIFICATE, credentials);
    }
    if (code >= 0 && !any_client) {
        gnutls_certificate_server_set_request(connection->session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert2(connection->session, &purpose, 1, 0);
    }
    if (code >= 0) {
        gnutls_transport_set_ptr2(connection->session, connection,
                                  GINT_TO_POINTER(connection->client.fd));
        gnutls_transport_set_pull_function(connection->session, tls_pull);
        gnutls_handshake_set_timeout(connection->session, 0); /* ours counts */
    }
    return code;
}

DinvTlsConnection *dinv_tls_connection_new(int fd, gnutls_certificate_credentials_t credentials,
                                           gnutls_priority_t priority, gboolean any_client,
                                           guint handshake_ms,
                                           const DinvTlsConnectionCallbacks *callbacks,
                                           gpointer user) {
    DinvTlsConnection *connection = g_new0(DinvTlsConnection, 1);
    connection->client.fd = fd;
    connection->plain.fd = -1;
    connection->callbacks = *callbacks;
    connection->user = user;
    connection->source = g_source_new(&source_funcs, sizeof(ConnectionSource));
    ((ConnectionSource *)connection->source)->connection = connection;
    if (set_up_session(connection, credentials, priority, any_client) < 0) {
        dinv_tls_connection_free(connection);
        return NULL;
    }
    set_polled(connection, &connection->client, TRUE, G_IO_IN);
    be_called_at(connection, g_get_monotonic_time() + (gint64)handshake_ms * 1000);
    g_source_attach(connection->source, NULL);
    return connection;
}

void dinv_tls_connection_free(DinvTlsConnection *connection) {
    if (connection == NULL) {
        return;
    }
    while (connection->state == STATE_OPEN && !connection->broken && tls_move_out(connection)) {
    }
    close_side(connection, &connection->client);
    close_side(connection, &connection->plain);
    g_source_destroy(connection->source);
    g_source_unref(connection->source);
    gnutls_deinit(connection->session);
    g_free(connection->refused);
    g_free(connection);
}

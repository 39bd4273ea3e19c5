/* SPDX-License-Identifier: MIT */
/* One client with TLS: who gets in, and that nothing of what either side says is lost. */
#include "launcher/tls/connection.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>

#include "tests/unit/lib/tls-fixture.h"

#define PATIENCE_MS 60000u

/* Of all tests: keys take time. */
static DinvTlsIdentity ca, other_ca, server_identity, client_identity;
static gnutls_certificate_credentials_t server_credentials, client_credentials;
static gnutls_priority_t server_priority;

typedef struct {
    DinvTlsConnection *connection;
    TlsClient *client;
    int plain; /* -1 until the connection is established */
    guint ends;
    char *refused;
} Fixture;

/* What the tests are run with. */
static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3",
                                       "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

static void on_established(DinvTlsConnection *connection G_GNUC_UNUSED, int plain_fd,
                           gpointer user) {
    Fixture *fixture = user;
    g_assert_cmpint(fixture->plain, ==, -1);
    g_assert_cmpint(fcntl(plain_fd, F_GETFL) & O_NONBLOCK, ==, O_NONBLOCK);
    g_assert_cmpint(fcntl(plain_fd, F_GETFD), ==, FD_CLOEXEC);
    fixture->plain = plain_fd;
}

static void on_ended(DinvTlsConnection *connection, const char *refused, gpointer user) {
    Fixture *fixture = user;
    g_assert_true(connection == fixture->connection);
    fixture->refused = g_strdup(refused);
    fixture->ends++;
    dinv_tls_connection_free(connection);
    fixture->connection = NULL;
}

/* A client on a connection, without a handshake yet. */
static void start(Fixture *fixture, gnutls_certificate_credentials_t credentials,
                  const char *priority, guint handshake_ms) {
    static const DinvTlsConnectionCallbacks callbacks = {.established = on_established,
                                                         .ended = on_ended};
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    *fixture = (Fixture){.plain = -1};
    fixture->client = tls_client_new(fds[0], credentials, priority);
    fixture->connection = dinv_tls_connection_new(fds[1], server_credentials, server_priority,
                                                  FALSE, handshake_ms, &callbacks, fixture);
    g_assert_nonnull(fixture->connection);
}

static void finish(Fixture *fixture) {
    tls_client_free(fixture->client);
    if (fixture->plain >= 0) {
        close(fixture->plain);
    }
    wait_until(fixture->ends == 1);
    g_free(fixture->refused);
}

/* One whose handshake is done on both sides. */
static void open_connection(Fixture *fixture, const char *priority) {
    start(fixture, client_credentials, priority, PATIENCE_MS);
    g_assert_cmpint(tls_client_handshake(fixture->client), ==, 0);
    wait_until(fixture->plain >= 0);
}

static void plain_send(int fd, const void *bytes, gsize length) {
    for (gsize sent = 0; sent < length;) {
        ssize_t put = send(fd, (const guint8 *)bytes + sent, length - sent, MSG_NOSIGNAL);
        if (put < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            tls_wait_fd(fd, G_IO_OUT);
        } else {
            sent += (gsize)put;
        }
    }
}

/* As many bytes as come before the end, at most `length`. */
static gsize plain_receive(int fd, void *bytes, gsize length) {
    gsize received = 0;
    while (received < length) {
        ssize_t got = recv(fd, (guint8 *)bytes + received, length - received, 0);
        if (got == 0) {
            break;
        }
        if (got < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            tls_wait_fd(fd, G_IO_IN);
        } else {
            received += (gsize)got;
        }
    }
    return received;
}

static guint8 *make_bytes(gsize length) {
    guint8 *bytes = g_malloc(length);
    for (gsize i = 0; i < length; i++) {
        bytes[i] = (guint8)g_test_rand_int();
    }
    return bytes;
}

/* --- Established --- */

/* As an attach with stdin does: the client ends its side first, and gets an answer behind it. */
static void test_client_ends_first(gconstpointer version) {
    Fixture fixture;
    char text[16] = "";
    open_connection(&fixture, version);
    g_assert_cmpint(tls_client_send(fixture.client, "question", 8), ==, 8);
    tls_client_finish(fixture.client);
    g_assert_cmpuint(plain_receive(fixture.plain, text, sizeof text), ==, 8);
    g_assert_cmpint(memcmp(text, "question", 8), ==, 0);
    g_assert_cmpuint(fixture.ends, ==, 0);
    plain_send(fixture.plain, "answer", 6);
    close(g_steal_fd(&fixture.plain));
    g_assert_cmpint(tls_client_receive(fixture.client, text, sizeof text), ==, 6);
    g_assert_cmpint(memcmp(text, "answer", 6), ==, 0);
    finish(&fixture);
    g_assert_null(fixture.refused);
}

/* The engine ends its side first and still reads. */
static void test_plain_ends_first(gconstpointer version) {
    Fixture fixture;
    char text[16] = "";
    open_connection(&fixture, version);
    plain_send(fixture.plain, "hello", 5);
    g_assert_cmpint(shutdown(fixture.plain, SHUT_WR), ==, 0);
    g_assert_cmpint(tls_client_receive(fixture.client, text, sizeof text), ==, 5);
    g_assert_cmpuint(fixture.ends, ==, 0);
    g_assert_cmpint(tls_client_send(fixture.client, "later", 5), ==, 5);
    g_assert_cmpuint(plain_receive(fixture.plain, text, 5), ==, 5);
    g_assert_cmpint(memcmp(text, "later", 5), ==, 0);
    tls_client_finish(fixture.client);
    g_assert_cmpuint(plain_receive(fixture.plain, text, 1), ==, 0);
    wait_until(fixture.ends == 1);
    finish(&fixture);
}

/* Both directions at once, in pieces of any size; every byte arrives, and then the end. */
static void test_bulk(gconstpointer version) {
    const gsize total = 3 * 1024 * 1024 + 7;
    g_autofree guint8 *up = make_bytes(total);
    g_autofree guint8 *down = make_bytes(total);
    g_autofree guint8 *got_up = g_malloc(total + 1);
    g_autofree guint8 *got_down = g_malloc(total + 1);
    gsize sent_up = 0, sent_down = 0, received_up = 0, received_down = 0;
    gsize piece = 1;
    gboolean up_ended = FALSE;
    Fixture fixture;
    open_connection(&fixture, version);
    while (received_up < total || received_down < total) {
        ssize_t done = 0;
        /* A record that GnuTLS has begun must be offered again as it was. */
        if (sent_up < total) {
            done = gnutls_record_send(fixture.client->session, up + sent_up,
                                      MIN(piece, total - sent_up));
            g_assert_true(done > 0 || done == GNUTLS_E_AGAIN);
            if (done > 0) {
                sent_up += (gsize)done;
                piece = (gsize)g_test_rand_int_range(1, 40000);
            }
        } else if (!up_ended) {
            tls_client_finish(fixture.client);
            up_ended = TRUE;
        }
        gsize down_piece = (gsize)g_test_rand_int_range(1, 40000);
        done = sent_down < total ? send(fixture.plain, down + sent_down,
                                        MIN(down_piece, total - sent_down), MSG_NOSIGNAL)
                                 : 0;
        if (done > 0) {
            sent_down += (gsize)done;
        }
        done = recv(fixture.plain, got_up + received_up, total + 1 - received_up, 0);
        if (done > 0) {
            received_up += (gsize)done;
        }
        done = gnutls_record_recv(fixture.client->session, got_down + received_down,
                                  total + 1 - received_down);
        g_assert_true(done > 0 || done == GNUTLS_E_AGAIN);
        if (done > 0) {
            received_down += (gsize)done;
        }
        (void)g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(received_up, ==, total);
    g_assert_cmpuint(received_down, ==, total);
    g_assert_cmpint(memcmp(up, got_up, total), ==, 0);
    g_assert_cmpint(memcmp(down, got_down, total), ==, 0);
    g_assert_cmpuint(plain_receive(fixture.plain, got_up, 1), ==, 0);
    close(g_steal_fd(&fixture.plain));
    g_assert_cmpint(tls_client_receive(fixture.client, got_down, 1), ==, 0);
    finish(&fixture);
}

/* What nobody reads is not taken: some records and what the kernel's buffers hold. */
static void test_backpressure(gconstpointer version) {
    const gsize chunk = 16384;
    g_autofree guint8 *bytes = make_bytes(chunk);
    gsize sent = 0;
    guint idle = 0;
    Fixture fixture;
    open_connection(&fixture, version);
    while (idle < 100) {
        ssize_t put = gnutls_record_send(fixture.client->session, bytes, chunk);
        g_assert_true(put > 0 || put == GNUTLS_E_AGAIN);
        sent += put > 0 ? (gsize)put : 0;
        g_assert_cmpuint(sent, <, 4u << 20);
        idle = g_main_context_iteration(NULL, FALSE) || put > 0 ? 0 : idle + 1;
    }
    /* Nothing of it is lost. */
    g_autofree guint8 *got = g_malloc(sent);
    g_assert_cmpuint(plain_receive(fixture.plain, got, sent), ==, sent);
    for (gsize i = 0; i < sent; i += chunk) {
        g_assert_cmpint(memcmp(got + i, bytes, chunk), ==, 0);
    }
    finish(&fixture);
}

/* A client that goes without close_notify is not one that ended its side: what it had sent may not
 * be all, so the engine's answer goes nowhere any more. */
static void test_client_is_cut_off(gconstpointer version) {
    Fixture fixture;
    char text[16] = "";
    open_connection(&fixture, version);
    g_assert_cmpint(tls_client_send(fixture.client, "half", 4), ==, 4);
    close(g_steal_fd(&fixture.client->fd));
    wait_until(fixture.ends == 1);
    g_assert_cmpuint(plain_receive(fixture.plain, text, sizeof text), ==, 4);
    g_assert_cmpint(send(fixture.plain, "x", 1, MSG_NOSIGNAL), ==, -1);
    g_assert_cmpint(errno, ==, EPIPE);
    finish(&fixture);
    g_assert_null(fixture.refused);
}

/* The engine closes while the client still sends: the client gets the whole answer, and the end. */
static void test_plain_closes(gconstpointer version) {
    const gsize length = 200000;
    g_autofree guint8 *bytes = make_bytes(length);
    g_autofree guint8 *got = g_malloc(length + 1);
    Fixture fixture;
    open_connection(&fixture, version);
    g_assert_cmpint(tls_client_send(fixture.client, bytes, 100), ==, 100);
    plain_send(fixture.plain, bytes, length / 2);
    plain_send(fixture.plain, bytes + length / 2, length - length / 2);
    close(g_steal_fd(&fixture.plain));
    g_assert_cmpint(tls_client_receive(fixture.client, got, length + 1), ==, (int)length);
    g_assert_cmpint(memcmp(got, bytes, length), ==, 0);
    finish(&fixture);
    g_assert_null(fixture.refused);
}

static void test_free_while_open(gconstpointer version) {
    Fixture fixture;
    char byte;
    open_connection(&fixture, version);
    dinv_tls_connection_free(fixture.connection);
    g_assert_cmpuint(plain_receive(fixture.plain, &byte, 1), ==, 0);
    g_assert_cmpint(tls_client_receive(fixture.client, &byte, 1), <, 0);
    fixture.ends = 1; /* without the callback */
    finish(&fixture);
}

/* What the engine said last, before all was over, still gets to the client. */
static void test_free_passes_on(gconstpointer version) {
    char text[16] = "";
    Fixture fixture;
    open_connection(&fixture, version);
    plain_send(fixture.plain, "bye", 3);
    close(g_steal_fd(&fixture.plain));
    dinv_tls_connection_free(fixture.connection);
    g_assert_cmpint(tls_client_receive(fixture.client, text, sizeof text), ==, 3);
    g_assert_cmpstr(text, ==, "bye");
    fixture.ends = 1; /* without the callback */
    finish(&fixture);
}

/* --- Refused --- */

/* A handshake that must fail on the server's side for `reason`; the client hears of it. */
static void expect_refused(const DinvTlsIdentity *identity, const char *priority,
                           const char *reason) {
    gnutls_certificate_credentials_t credentials = tls_credentials(&ca, identity);
    Fixture fixture;
    char byte;
    start(&fixture, credentials, priority, PATIENCE_MS);
    int code = tls_client_handshake(fixture.client);
    if (code == 0) { /* with TLS 1.3 the client is done before the server has judged it */
        code = (int)tls_client_receive(fixture.client, &byte, 1);
    }
    g_assert_cmpint(code, ==, GNUTLS_E_FATAL_ALERT_RECEIVED);
    close(g_steal_fd(&fixture.client->fd));
    wait_until(fixture.ends == 1);
    g_assert_cmpstr(fixture.refused, ==, reason);
    g_assert_cmpint(fixture.plain, ==, -1);
    finish(&fixture);
    gnutls_certificate_free_credentials(credentials);
}

static void test_no_certificate(gconstpointer version) {
    expect_refused(NULL, version, "showed no certificate");
}

static void test_other_ca(gconstpointer version) {
    DinvTlsIdentity identity =
        tls_identity(DINV_TLS_CLIENT, "dinv client", &other_ca, -TLS_DAY, TLS_DAY);
    /* Such a client would show nothing, if it went by the CA's name: so it has the same. */
    expect_refused(&identity, version, "showed a certificate of another CA");
    dinv_tls_identity_clear(&identity);
}

static void test_expired(gconstpointer version) {
    DinvTlsIdentity identity =
        tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, -2 * TLS_DAY, -TLS_DAY);
    expect_refused(&identity, version, "showed a certificate that has expired");
    dinv_tls_identity_clear(&identity);
}

static void test_not_yet(gconstpointer version) {
    DinvTlsIdentity identity =
        tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, TLS_DAY, 2 * TLS_DAY);
    expect_refused(&identity, version, "showed a certificate that is not valid yet");
    dinv_tls_identity_clear(&identity);
}

/* The server's own certificate, which is signed by the same CA, lets nobody in. */
static void test_wrong_purpose(gconstpointer version) {
    expect_refused(&server_identity, version, "showed a certificate that is not for clients");
}

/* A client that does not trust us. */
static void test_client_gives_up(gconstpointer version) {
    gnutls_certificate_credentials_t credentials = tls_credentials(&other_ca, &client_identity);
    Fixture fixture;
    start(&fixture, credentials, version, PATIENCE_MS);
    int code = tls_client_handshake(fixture.client);
    g_assert_cmpint(code, ==, GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR);
    (void)gnutls_alert_send_appropriate(fixture.client->session, code);
    close(g_steal_fd(&fixture.client->fd));
    wait_until(fixture.ends == 1);
    g_test_message("%s", fixture.refused);
    g_assert_nonnull(fixture.refused);
    g_assert_true(g_str_has_prefix(fixture.refused, "does not trust the CA of this engine"));
    finish(&fixture);
    gnutls_certificate_free_credentials(credentials);
}

static void test_old_version(void) {
    expect_refused(&client_identity, "NORMAL:-VERS-ALL:+VERS-TLS1.1:%VERIFY_ALLOW_SIGN_WITH_SHA1",
                   "failed: A packet with illegal or unsupported version was received.");
}

static void test_http(void) {
    static const char request[] = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
    char answer[512] = "";
    Fixture fixture;
    start(&fixture, client_credentials, NULL, PATIENCE_MS);
    plain_send(fixture.client->fd, request, sizeof request - 1);
    (void)plain_receive(fixture.client->fd, answer, sizeof answer - 1);
    g_assert_true(g_str_has_prefix(answer, "HTTP/1.0 400 "));
    g_assert_nonnull(strstr(answer, "Client sent an HTTP request to an HTTPS server."));
    close(g_steal_fd(&fixture.client->fd));
    wait_until(fixture.ends == 1);
    g_assert_cmpstr(fixture.refused, ==, "speaks HTTP without TLS");
    finish(&fixture);
}

/* Bytes of any kind, and any part of a handshake, then the end: no crash, no client. */
static void test_garbage(void) {
    for (guint i = 0; i < 300; i++) {
        gsize length = (gsize)g_test_rand_int_range(0, 600);
        g_autofree guint8 *bytes = make_bytes(length + 6);
        Fixture fixture;
        if (i % 2 == 0) { /* what looks like the record of a handshake */
            static const guint8 head[] = {0x16, 3, 1, 0, 0xf0, 1};
            memcpy(bytes, head, sizeof head);
        }
        start(&fixture, client_credentials, NULL, PATIENCE_MS);
        (void)send(fixture.client->fd, bytes, length, MSG_NOSIGNAL);
        close(g_steal_fd(&fixture.client->fd));
        wait_until(fixture.ends == 1);
        g_assert_cmpint(fixture.plain, ==, -1);
        finish(&fixture);
    }
}

/* A client that connects and says nothing, or not enough, is given up. */
static void test_silence(void) {
    Fixture fixture;
    start(&fixture, client_credentials, NULL, 1);
    wait_until(fixture.ends == 1);
    g_assert_null(fixture.refused);
    finish(&fixture);
    start(&fixture, client_credentials, NULL, 200);
    plain_send(fixture.client->fd, "\x16\x03", 2);
    wait_until(fixture.ends == 1);
    g_assert_cmpstr(fixture.refused, ==, "did not finish the handshake in time");
    finish(&fixture);
}

/* A refused client that goes on sending and never closes is ended all the same. */
static void test_refused_goes_on(void) {
    g_autofree guint8 *bytes = make_bytes(65536);
    gsize sent = 0;
    Fixture fixture;
    start(&fixture, client_credentials, NULL, PATIENCE_MS);
    bytes[0] = 'G';
    while (fixture.ends == 0) {
        ssize_t put = send(fixture.client->fd, bytes, 65536, MSG_NOSIGNAL);
        sent += put > 0 ? (gsize)put : 0;
        (void)g_main_context_iteration(NULL, put < 0 && fixture.ends == 0);
    }
    g_assert_cmpuint(sent, <, 8u << 20);
    finish(&fixture);
}

static void add_for_versions(const char *path, GTestDataFunc test) {
    static const char *const names[] = {"tls1.3", "tls1.2"};
    for (guint i = 0; i < G_N_ELEMENTS(versions); i++) {
        g_autofree char *whole = g_strdup_printf("/launcher/tls-connection/%s/%s", names[i], path);
        g_test_add_data_func(whole, versions[i], test);
    }
}

static int run_all(void) {
    ca = tls_identity(DINV_TLS_CA, "dinv CA", NULL, -TLS_DAY, TLS_DAY);
    other_ca = tls_identity(DINV_TLS_CA, "dinv CA", NULL, -TLS_DAY, TLS_DAY);
    server_identity = tls_identity(DINV_TLS_SERVER, "dinv server", &ca, -TLS_DAY, TLS_DAY);
    client_identity = tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, -TLS_DAY, TLS_DAY);
    server_credentials = tls_credentials(&ca, &server_identity);
    client_credentials = tls_credentials(&ca, &client_identity);
    g_assert_cmpint(
        gnutls_priority_init(&server_priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL),
        ==, 0);
    int status = g_test_run();
    gnutls_priority_deinit(server_priority);
    gnutls_certificate_free_credentials(server_credentials);
    gnutls_certificate_free_credentials(client_credentials);
    dinv_tls_identity_clear(&client_identity);
    dinv_tls_identity_clear(&server_identity);
    dinv_tls_identity_clear(&other_ca);
    dinv_tls_identity_clear(&ca);
    return status;
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add_for_versions("client-ends-first", test_client_ends_first);
    add_for_versions("plain-ends-first", test_plain_ends_first);
    add_for_versions("bulk", test_bulk);
    add_for_versions("backpressure", test_backpressure);
    add_for_versions("client-is-cut-off", test_client_is_cut_off);
    add_for_versions("plain-closes", test_plain_closes);
    add_for_versions("free-while-open", test_free_while_open);
    add_for_versions("free-passes-on", test_free_passes_on);
    add_for_versions("refused/no-certificate", test_no_certificate);
    add_for_versions("refused/other-ca", test_other_ca);
    add_for_versions("refused/expired", test_expired);
    add_for_versions("refused/not-yet", test_not_yet);
    add_for_versions("refused/wrong-purpose", test_wrong_purpose);
    add_for_versions("refused/client-gives-up", test_client_gives_up);
    g_test_add_func("/launcher/tls-connection/refused/old-version", test_old_version);
    g_test_add_func("/launcher/tls-connection/refused/http", test_http);
    g_test_add_func("/launcher/tls-connection/refused/garbage", test_garbage);
    g_test_add_func("/launcher/tls-connection/refused/silence", test_silence);
    g_test_add_func("/launcher/tls-connection/refused/goes-on", test_refused_goes_on);
    return run_all();
}

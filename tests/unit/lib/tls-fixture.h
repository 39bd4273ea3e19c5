/* SPDX-License-Identifier: MIT */
/*
 * Certificates of any kind, and a TLS client for tests that drives the main loop while it waits:
 * the server under test and its client live in one thread, and nothing depends on who is faster.
 */
#pragma once

#include <errno.h>
#include <glib-unix.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/tls/files.h"
#include "launcher/tls/store.h"
#include "tests/unit/lib/wait-until.h"

#define TLS_DAY ((time_t)24 * 3600)

/* --- Certificates --- */

/* A key of a kind that is made quickly; dinv takes it as well. */
static inline gnutls_x509_privkey_t tls_key(void) {
    gnutls_x509_privkey_t key = NULL;
    g_assert_cmpint(gnutls_x509_privkey_init(&key), ==, 0);
    g_assert_cmpint(gnutls_x509_privkey_generate(
                        key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                    ==, 0);
    return key;
}

/* A key and a certificate that is valid from `start` to `end`, in seconds from now. */
static inline DinvTlsIdentity tls_identity(DinvTlsRole role, const char *common_name,
                                           const DinvTlsIdentity *issuer, time_t start,
                                           time_t end) {
    static const char *const names[] = {"DNS:localhost", "IP:127.0.0.1", NULL};
    time_t now = (time_t)(g_get_real_time() / G_USEC_PER_SEC);
    g_autoptr(GError) error = NULL;
    DinvTlsIdentity identity = {.key = tls_key()};
    identity.certificates = g_new0(gnutls_x509_crt_t, 1);
    identity.count = 1;
    identity.certificates[0] =
        dinv_tls_certificate_new(role, common_name, names, identity.key, issuer, &error);
    g_assert_no_error(error);
    gnutls_x509_crt_t certificate = identity.certificates[0];
    g_assert_cmpint(gnutls_x509_crt_set_activation_time(certificate, now + start), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_expiration_time(certificate, now + end), ==, 0);
    g_assert_cmpint(
        gnutls_x509_crt_sign2(certificate, issuer == NULL ? certificate : issuer->certificates[0],
                              issuer == NULL ? identity.key : issuer->key, GNUTLS_DIG_SHA256, 0),
        ==, 0);
    return identity;
}

/* A CA without dinv's mark, that is valid from `start` to `end`, in seconds from now. */
static inline DinvTlsIdentity tls_unmarked_ca(const char *common_name, time_t start, time_t end) {
    time_t now = (time_t)(g_get_real_time() / G_USEC_PER_SEC);
    DinvTlsIdentity identity = {.key = tls_key(), .count = 1};
    gnutls_x509_crt_t certificate = NULL;
    g_assert_nonnull(identity.key);
    g_assert_cmpint(gnutls_x509_crt_init(&certificate), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_version(certificate, 3), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
                                                  common_name, (unsigned)strlen(common_name)),
                    ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_basic_constraints(certificate, 1, -1), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_serial(certificate, "\x01", 1), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_activation_time(certificate, now + start), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_expiration_time(certificate, now + end), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_set_key(certificate, identity.key), ==, 0);
    g_assert_cmpint(
        gnutls_x509_crt_sign2(certificate, certificate, identity.key, GNUTLS_DIG_SHA256, 0), ==, 0);
    identity.certificates = g_new0(gnutls_x509_crt_t, 1);
    identity.certificates[0] = certificate;
    return identity;
}

/* All that a server in that directory needs, for keys that handshakes are quick with. */
static inline void tls_make_certificates(const char *directory) {
    static const char *const roles[] = {"ca", "server", "client"};
    g_auto(GStrv) names = dinv_tls_list_names(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++) {
        g_autofree char *place = g_build_filename(directory, roles[i], NULL);
        g_autofree char *path = g_build_filename(place, "key.pem", NULL);
        gnutls_x509_privkey_t key = tls_key();
        g_autofree char *text = dinv_tls_key_to_text(key, NULL);
        g_assert_cmpint(g_mkdir_with_parents(place, 0755), ==, 0);
        g_assert_true(dinv_tls_write_text(path, 0600, text, NULL));
        gnutls_x509_privkey_deinit(key);
    }
    g_autoptr(GError) error = NULL;
    g_assert_true(
        dinv_tls_store_prepare(directory, (const char *const *)names, NULL, NULL, &error));
    g_assert_no_error(error);
}

/* Credentials that trust `ca` and show `identity` (may be NULL). */
static inline gnutls_certificate_credentials_t tls_credentials(const DinvTlsIdentity *ca,
                                                               const DinvTlsIdentity *identity) {
    gnutls_certificate_credentials_t credentials = NULL;
    g_assert_cmpint(gnutls_certificate_allocate_credentials(&credentials), ==, 0);
    g_assert_cmpint(gnutls_certificate_set_x509_trust(credentials, ca->certificates, 1), ==, 1);
    if (identity != NULL) {
        g_assert_cmpint(gnutls_certificate_set_x509_key(credentials, identity->certificates,
                                                        (int)identity->count, identity->key),
                        >=, 0);
    }
    return credentials;
}

/* --- The client --- */

typedef struct {
    gnutls_session_t session;
    int fd;
} TlsClient;

static inline gboolean tls_on_ready(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                                    gpointer user) {
    *(gboolean *)user = TRUE;
    return G_SOURCE_REMOVE;
}

/* Runs the loop until the descriptor is ready. */
static inline void tls_wait_fd(int fd, GIOCondition events) {
    gboolean ready = FALSE;
    (void)g_unix_fd_add(fd, events | G_IO_HUP | G_IO_ERR, tls_on_ready, &ready);
    wait_until(ready);
}

/* A client on `fd`, which is nonblocking; `priority` may be NULL. No handshake yet. */
static inline TlsClient *tls_client_new(int fd, gnutls_certificate_credentials_t credentials,
                                        const char *priority) {
    TlsClient *client = g_new0(TlsClient, 1);
    client->fd = fd;
    g_assert_cmpint(
        gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), ==, 0);
    g_assert_cmpint(
        gnutls_priority_set_direct(client->session, priority != NULL ? priority : "NORMAL", NULL),
        ==, 0);
    g_assert_cmpint(gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, credentials),
                    ==, 0);
    gnutls_session_set_verify_cert(client->session, NULL, 0);
    gnutls_transport_set_int(client->session, fd);
    return client;
}

static inline void tls_client_free(TlsClient *client) {
    gnutls_deinit(client->session);
    if (client->fd >= 0) {
        close(client->fd);
    }
    g_free(client);
}

static inline void tls_client_wait(TlsClient *client) {
    tls_wait_fd(client->fd, gnutls_record_get_direction(client->session) == 1 ? G_IO_OUT : G_IO_IN);
}

static inline int tls_client_handshake(TlsClient *client) {
    int code;
    while ((code = gnutls_handshake(client->session)) < 0 && gnutls_error_is_fatal(code) == 0) {
        tls_client_wait(client);
    }
    return code;
}

/* All of `bytes`, or an error of GnuTLS. */
static inline ssize_t tls_client_send(TlsClient *client, const void *bytes, gsize length) {
    gsize sent = 0;
    while (sent < length) {
        ssize_t put =
            gnutls_record_send(client->session, (const guint8 *)bytes + sent, length - sent);
        if (put >= 0) {
            sent += (gsize)put;
        } else if (gnutls_error_is_fatal((int)put) != 0) {
            return put;
        } else {
            tls_client_wait(client);
        }
    }
    return (ssize_t)sent;
}

/* Up to `length` bytes, less at the end of the stream, or an error of GnuTLS. */
static inline ssize_t tls_client_receive(TlsClient *client, void *bytes, gsize length) {
    gsize received = 0;
    while (received < length) {
        ssize_t got =
            gnutls_record_recv(client->session, (guint8 *)bytes + received, length - received);
        if (got > 0) {
            received += (gsize)got;
        } else if (got == 0) {
            break;
        } else if (gnutls_error_is_fatal((int)got) != 0) {
            return got;
        } else {
            tls_client_wait(client);
        }
    }
    return (ssize_t)received;
}

/* close_notify. */
static inline void tls_client_finish(TlsClient *client) {
    while (gnutls_bye(client->session, GNUTLS_SHUT_WR) == GNUTLS_E_AGAIN) {
        tls_client_wait(client);
    }
}

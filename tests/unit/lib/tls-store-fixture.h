/* SPDX-License-Identifier: MIT */
/*
 * A directory of certificates (launcher/tls/store.h) for one test: what is put into it, and what a
 * start makes of that. Included once per test program.
 */
#pragma once

#include <string.h>

#include "launcher/tls/store.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/tls-fixture.h"

static const char *const tls_store_names[] = {"DNS:docker", "DNS:localhost", "IP:127.0.0.1",
                                              "IP:::1", NULL};

static const char *const tls_store_files[] = {"ca/key.pem",      "ca/cert.pem",   "server/key.pem",
                                              "server/cert.pem", "server/ca.pem", "client/key.pem",
                                              "client/cert.pem", "client/ca.pem"};

typedef struct {
    Scratch scratch;
    char *directory;
    GPtrArray *notes;
    GPtrArray *warnings;
} TlsStore;

static inline void tls_store_set_up(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&store->scratch);
    store->directory = scratch_path(&store->scratch, "certs");
    store->notes = g_ptr_array_new_with_free_func(g_free);
    store->warnings = g_ptr_array_new_with_free_func(g_free);
}

static inline void tls_store_tear_down(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_ptr_array_unref(store->notes);
    g_ptr_array_unref(store->warnings);
    g_free(store->directory);
    scratch_remove(&store->scratch);
}

static inline char *tls_store_path_of(const TlsStore *store, const char *file) {
    return g_build_filename(store->directory, file, NULL);
}

static inline char *tls_store_text_of(const TlsStore *store, const char *file) {
    g_autofree char *path = tls_store_path_of(store, file);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static inline void tls_store_put(const TlsStore *store, const char *file, const char *text) {
    g_autofree char *name = g_build_filename("certs", file, NULL);
    scratch_write(&store->scratch, name, text);
}

static inline void tls_store_take_away(const TlsStore *store, const char *file) {
    g_autofree char *path = tls_store_path_of(store, file);
    g_assert_cmpint(g_unlink(path), ==, 0);
}

static inline void tls_store_prepare(TlsStore *store) {
    g_autoptr(GError) error = NULL;
    g_ptr_array_set_size(store->notes, 0);
    g_ptr_array_set_size(store->warnings, 0);
    gboolean good = dinv_tls_store_prepare(store->directory, tls_store_names, store->notes,
                                           store->warnings, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_auto(DinvTlsFiles) used = dinv_tls_store_get_files(store->directory);
    g_autofree char *certificate = tls_store_path_of(store, "server/cert.pem");
    g_assert_cmpstr(used.certificate, ==, certificate);
}

/* Both check and prepare say `text`, and nothing has changed. */
static inline void tls_store_expect_failure(TlsStore *store, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) again = NULL;
    char *before[G_N_ELEMENTS(tls_store_files)];
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        before[i] = tls_store_text_of(store, tls_store_files[i]);
    }
    g_assert_false(dinv_tls_store_check(store->directory, tls_store_names, NULL, NULL, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, text));
    g_assert_nonnull(strstr(error->message, store->directory));
    g_assert_null(strchr(error->message, '\n'));
    g_assert_false(dinv_tls_store_prepare(store->directory, tls_store_names, NULL, NULL, &again));
    g_assert_cmpstr(again->message, ==, error->message);
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        g_autofree char *now = tls_store_text_of(store, tls_store_files[i]);
        g_assert_cmpstr(now, ==, before[i]);
        g_free(before[i]);
    }
}

static inline DinvTlsIdentity tls_store_read_identity(const TlsStore *store, const char *role) {
    g_autofree char *key = g_build_filename(store->directory, role, "key.pem", NULL);
    g_autofree char *certificate = g_build_filename(store->directory, role, "cert.pem", NULL);
    g_autoptr(GError) error = NULL;
    DinvTlsIdentity identity = {0};
    gboolean read = dinv_tls_identity_read(&identity, key, certificate, &error);
    g_assert_no_error(error);
    g_assert_true(read);
    g_assert_nonnull(identity.key);
    g_assert_nonnull(identity.certificates);
    return identity;
}

/* A handshake in memory: a server with the files of server/, a client with those of client/, as
 * their users would load them. */
static inline void tls_store_expect_handshake(const TlsStore *store) {
    static const char *const roles[] = {"server", "client"};
    gnutls_certificate_credentials_t credentials[2];
    gnutls_session_t sessions[2];
    gboolean done[2] = {FALSE, FALSE};
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *ca = g_build_filename(store->directory, roles[i], "ca.pem", NULL);
        g_autofree char *key = g_build_filename(store->directory, roles[i], "key.pem", NULL);
        g_autofree char *certificate =
            g_build_filename(store->directory, roles[i], "cert.pem", NULL);
        g_assert_cmpint(gnutls_certificate_allocate_credentials(&credentials[i]), ==, 0);
        g_assert_cmpint(
            gnutls_certificate_set_x509_trust_file(credentials[i], ca, GNUTLS_X509_FMT_PEM), ==, 1);
        g_assert_cmpint(gnutls_certificate_set_x509_key_file(credentials[i], certificate, key,
                                                             GNUTLS_X509_FMT_PEM),
                        >=, 0);
        g_assert_cmpint(gnutls_init(&sessions[i], (i == 0 ? GNUTLS_SERVER : GNUTLS_CLIENT) |
                                                      GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL),
                        ==, 0);
        g_assert_cmpint(gnutls_set_default_priority(sessions[i]), ==, 0);
        g_assert_cmpint(gnutls_credentials_set(sessions[i], GNUTLS_CRD_CERTIFICATE, credentials[i]),
                        ==, 0);
        gnutls_session_set_verify_cert(sessions[i], i == 0 ? NULL : "docker", 0);
        gnutls_transport_set_int(sessions[i], fds[i]);
    }
    gnutls_certificate_server_set_request(sessions[0], GNUTLS_CERT_REQUIRE);
    while (!done[0] || !done[1]) {
        for (guint i = 0; i < 2; i++) {
            int code = done[i] ? 0 : gnutls_handshake(sessions[i]);
            g_assert_true(code == 0 || code == GNUTLS_E_AGAIN);
            done[i] = code == 0;
        }
    }
    for (guint i = 0; i < 2; i++) {
        gnutls_deinit(sessions[i]);
        gnutls_certificate_free_credentials(credentials[i]);
        close(fds[i]);
    }
}

static inline void tls_store_put_identity(const TlsStore *store, const char *role,
                                          const DinvTlsIdentity *identity) {
    g_autofree char *key_file = g_build_filename(role, "key.pem", NULL);
    g_autofree char *certificate_file = g_build_filename(role, "cert.pem", NULL);
    g_autofree char *key = dinv_tls_key_to_text(identity->key, NULL);
    g_autofree char *certificate = dinv_tls_certificate_to_text(identity->certificates[0], NULL);
    tls_store_put(store, key_file, key);
    tls_store_put(store, certificate_file, certificate);
}

/* Whole directories whose parts were valid from `start` to `end`, made by `maker`. */
static inline void tls_store_put_all(TlsStore *store, const char *maker, time_t start, time_t end) {
    static const char *const roles[] = {"ca", "server", "client"};
    DinvTlsIdentity identities[3] = {0};
    for (guint i = 0; i < 3; i++) {
        g_autofree char *name = g_strdup_printf("%s %s", maker, i == 0 ? "CA" : roles[i]);
        identities[i] = tls_identity((DinvTlsRole)i, name, i == 0 ? NULL : &identities[0],
                                     i == 0 ? -10 * TLS_DAY : start, i == 0 ? 100 * TLS_DAY : end);
        tls_store_put_identity(store, roles[i], &identities[i]);
        if (i > 0) {
            g_autofree char *file = g_build_filename(roles[i], "ca.pem", NULL);
            g_autofree char *text =
                dinv_tls_certificate_to_text(identities[0].certificates[0], NULL);
            tls_store_put(store, file, text);
        }
    }
    for (guint i = 0; i < 3; i++) {
        dinv_tls_identity_clear(&identities[i]);
    }
}

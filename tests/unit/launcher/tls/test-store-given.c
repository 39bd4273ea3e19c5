/* SPDX-License-Identifier: MIT */
/* A directory with certificates of somebody else's: they are used as they are, or refused, and
 * never replaced. */
#include "tests/unit/lib/tls-store-fixture.h"

/* --- Of another maker --- */

static void test_given(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_put_all(store, "acme", -TLS_DAY, TLS_DAY);
    tls_store_take_away(store, "ca/key.pem");
    g_autofree char *server = tls_store_text_of(store, "server/cert.pem");
    tls_store_prepare(store);
    g_autofree char *now = tls_store_text_of(store, "server/cert.pem");
    g_assert_cmpstr(now, ==, server);
}

static void test_given_expired(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_put_all(store, "acme", -9 * TLS_DAY, -TLS_DAY);
    tls_store_expect_failure(store, "server/cert.pem\" expired on 20");
    tls_store_take_away(store, "ca/key.pem");
    tls_store_expect_failure(store, "server/cert.pem\" expired on 20");
    tls_store_put_all(store, "acme", TLS_DAY, 2 * TLS_DAY);
    tls_store_expect_failure(store, "server/cert.pem\" is not valid before 20");
}

/* Also ours cannot be renewed when the CA's key is kept elsewhere. */
static void test_expired_without_ca_key(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_put_all(store, "dinv", -9 * TLS_DAY, -TLS_DAY);
    tls_store_take_away(store, "ca/key.pem");
    tls_store_expect_failure(store, "server/cert.pem\" expired on 20");
}

static void test_given_half(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_put_all(store, "acme", -TLS_DAY, TLS_DAY);
    g_autofree char *key = tls_store_text_of(store, "server/key.pem");
    tls_store_take_away(store, "server/key.pem");
    tls_store_expect_failure(store, "server/cert.pem\" has no private key beside it (key.pem)");
    tls_store_take_away(store, "ca/key.pem");
    tls_store_expect_failure(store,
                             "ca/cert.pem\" has no private key beside it (key.pem) to sign with");
    tls_store_take_away(store, "ca/cert.pem");
    tls_store_expect_failure(store,
                             "server/cert.pem\" is there, but not all of server/{ca,cert,key}.pem");
    tls_store_put(store, "server/key.pem", key);
    tls_store_take_away(store, "server/ca.pem");
    tls_store_expect_failure(store,
                             "server/cert.pem\" is there, but not all of server/{ca,cert,key}.pem");
}

static void test_given_mismatch(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_put_all(store, "acme", -TLS_DAY, TLS_DAY);
    g_autofree char *client_key = tls_store_text_of(store, "client/key.pem");
    g_autofree char *client = tls_store_text_of(store, "client/cert.pem");
    g_autofree char *key = tls_store_text_of(store, "server/key.pem");
    tls_store_put(store, "server/key.pem", client_key);
    tls_store_expect_failure(store,
                             "server/cert.pem\" does not belong to the private key beside it");
    tls_store_put(store, "server/cert.pem", client);
    tls_store_expect_failure(store, "server/cert.pem\" is not signed for a server by the CA");
    tls_store_put(store, "server/key.pem", key);
    tls_store_put(store, "ca/key.pem", key);
    tls_store_expect_failure(store, "ca/cert.pem\" does not belong to the private key beside it");
}

static void test_no_pem(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *huge = g_strnfill((gsize)300 * 1024, 'x');
    tls_store_prepare(store);
    tls_store_put(store, "server/key.pem", "hello\n");
    tls_store_expect_failure(
        store, "server/key.pem\" is not a private key in PEM form without a passphrase");
    tls_store_put(store, "server/key.pem", huge);
    tls_store_expect_failure(store,
                             "server/key.pem\" is not a PEM file: it has 300 KiB, the most is 256");
    tls_store_take_away(store, "server/key.pem");
    tls_store_put(store, "ca/cert.pem",
                  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    tls_store_expect_failure(store, "ca/cert.pem\" is not a certificate in PEM form");
    tls_store_take_away(store, "ca/cert.pem");
    tls_store_put(store, "ca/cert.pem/x", "");
    tls_store_expect_failure(store, "ca/cert.pem\" is not a PEM file: it is a directory");
}

/* A client's certificate from elsewhere is left alone: the server does not use it. */
static void test_foreign_client(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    DinvTlsIdentity ca = tls_identity(DINV_TLS_CA, "acme CA", NULL, -TLS_DAY, TLS_DAY);
    DinvTlsIdentity client = tls_identity(DINV_TLS_CLIENT, "somebody", &ca, -TLS_DAY, TLS_DAY);
    tls_store_put_identity(store, "client", &client);
    g_autofree char *before = tls_store_text_of(store, "client/cert.pem");
    tls_store_prepare(store);
    g_autofree char *now = tls_store_text_of(store, "client/cert.pem");
    g_assert_cmpstr(now, ==, before);
    g_assert_cmpuint(store->warnings->len, ==, 1);
    g_assert_nonnull(strstr(store->warnings->pdata[0], "clients that use it are refused"));
    dinv_tls_identity_clear(&client);
    dinv_tls_identity_clear(&ca);
}

/* --- A CA whose name is like dinv's --- */

static char *put_unmarked_ca(TlsStore *store, time_t end) {
    DinvTlsIdentity ca = tls_unmarked_ca("dinv CA", -TLS_DAY, end);
    DinvTlsIdentity client = tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, -TLS_DAY, TLS_DAY);
    tls_store_put_identity(store, "ca", &ca);
    tls_store_put_identity(store, "client", &client);
    dinv_tls_identity_clear(&client);
    dinv_tls_identity_clear(&ca);
    return tls_store_text_of(store, "ca/cert.pem");
}

/* It may be a user's, or of a dinv that did not mark its own yet: it signs, and is not replaced. */
static void test_ca_named_alike(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *before = put_unmarked_ca(store, 20 * TLS_DAY);
    tls_store_prepare(store);
    g_autofree char *now = tls_store_text_of(store, "ca/cert.pem");
    g_assert_cmpstr(now, ==, before);
    g_assert_cmpuint(store->warnings->len, ==, 1);
    g_test_message("%s", (const char *)store->warnings->pdata[0]);
    g_assert_nonnull(strstr(store->warnings->pdata[0], "ca/cert.pem\" ends on 20"));
    g_assert_nonnull(strstr(store->warnings->pdata[0], "remove it alone"));
    tls_store_expect_handshake(store);
    g_free(put_unmarked_ca(store, -TLS_DAY / 2));
    tls_store_expect_failure(store, "ca/cert.pem\" expired on 20");
}

/* Above a server's certificate of one's own, another CA of dinv's would be of no use. */
static void test_ca_of_own_server(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    DinvTlsIdentity ca = tls_unmarked_ca("Example CA", -TLS_DAY, 20 * TLS_DAY);
    DinvTlsIdentity server =
        tls_identity(DINV_TLS_SERVER, "ci.example.org", &ca, -TLS_DAY, 10 * TLS_DAY);
    tls_store_put_identity(store, "ca", &ca);
    tls_store_put_identity(store, "server", &server);
    dinv_tls_identity_clear(&server);
    dinv_tls_identity_clear(&ca);
    tls_store_prepare(store);
    g_assert_cmpuint(store->warnings->len, ==, 1);
    g_assert_nonnull(strstr(store->warnings->pdata[0], "ca/cert.pem\" ends on 20"));
    g_assert_null(strstr(store->warnings->pdata[0], "remove it"));
}

/* Nothing is said of it before. */
static void test_ca_named_alike_is_fine(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_free(put_unmarked_ca(store, 40 * TLS_DAY));
    tls_store_prepare(store);
    g_assert_cmpuint(store->warnings->len, ==, 0);
    tls_store_expect_handshake(store);
}

/* What the warning says to do: one that an earlier dinv made becomes one of this dinv's, and
 * clients do not see the difference. */
static void test_ca_made_anew(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_free(put_unmarked_ca(store, 20 * TLS_DAY));
    tls_store_prepare(store);
    DinvTlsIdentity client = tls_store_read_identity(store, "client");
    g_autofree char *key = tls_store_text_of(store, "ca/key.pem");
    tls_store_take_away(store, "ca/cert.pem");
    tls_store_prepare(store);
    g_assert_cmpuint(store->warnings->len, ==, 0);
    g_autofree char *key_now = tls_store_text_of(store, "ca/key.pem");
    g_assert_cmpstr(key_now, ==, key);
    DinvTlsIdentity ca = tls_store_read_identity(store, "ca");
    g_assert_true(dinv_tls_certificate_is_marked(ca.certificates[0]));
    tls_store_put_identity(store, "client", &client);
    tls_store_expect_handshake(store);
    dinv_tls_identity_clear(&ca);
    dinv_tls_identity_clear(&client);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/tls-store/" name, TlsStore, NULL, tls_store_set_up, function,            \
               tls_store_tear_down)
    ADD("given", test_given);
    ADD("given-expired", test_given_expired);
    ADD("expired-without-ca-key", test_expired_without_ca_key);
    ADD("given-half", test_given_half);
    ADD("given-mismatch", test_given_mismatch);
    ADD("no-pem", test_no_pem);
    ADD("foreign-client", test_foreign_client);
    ADD("ca-named-alike", test_ca_named_alike);
    ADD("ca-of-own-server", test_ca_of_own_server);
    ADD("ca-named-alike-is-fine", test_ca_named_alike_is_fine);
    ADD("ca-made-anew", test_ca_made_anew);
    return g_test_run();
}

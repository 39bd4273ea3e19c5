/* SPDX-License-Identifier: MIT */
/* A directory of dinv's own certificates: what is made, kept, completed and renewed. What others
 * put there is test-store-given.c's. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/lib/tls-store-fixture.h"

/* --- What is made --- */

static void test_layout(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    /* As docker:dind: a client in another container may be another user. */
    static const mode_t modes[] = {0600, 0644, 0600, 0644, 0644, 0644, 0644, 0644};
    mode_t mask = umask(0077);
    g_autoptr(GError) error = NULL;
    g_assert_true(dinv_tls_store_check(store->directory, tls_store_names, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(store->directory, G_FILE_TEST_EXISTS));
    tls_store_prepare(store);
    (void)umask(mask);
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        g_autofree char *path = tls_store_path_of(store, tls_store_files[i]);
        struct stat status;
        g_assert_cmpint(stat(path, &status), ==, 0);
        g_assert_cmpuint(status.st_mode & 07777, ==, modes[i]);
    }
    g_autofree char *ca = tls_store_text_of(store, "ca/cert.pem");
    g_autofree char *server_ca = tls_store_text_of(store, "server/ca.pem");
    g_autofree char *client_ca = tls_store_text_of(store, "client/ca.pem");
    g_assert_cmpstr(ca, ==, server_ca);
    g_assert_cmpstr(ca, ==, client_ca);
    tls_store_expect_handshake(store);
    DinvTlsIdentity server = tls_store_read_identity(store, "server");
    g_auto(GStrv) has = dinv_tls_certificate_get_names(server.certificates[0]);
    g_assert_true(g_strv_equal((const char *const *)has, tls_store_names));
    dinv_tls_identity_clear(&server);
}

/* What clients have to read that know nothing newer. */
static void test_form_of_keys(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    static const char *const roles[] = {"ca", "server", "client"};
    tls_store_prepare(store);
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++) {
        g_autofree char *file = g_build_filename(roles[i], "key.pem", NULL);
        g_autofree char *text = tls_store_text_of(store, file);
        unsigned bits = 0;
        DinvTlsIdentity identity = tls_store_read_identity(store, roles[i]);
        g_assert_true(g_str_has_prefix(text, "-----BEGIN RSA PRIVATE KEY-----\n"));
        g_assert_cmpint(gnutls_x509_privkey_get_pk_algorithm2(identity.key, &bits), ==,
                        GNUTLS_PK_RSA);
        g_assert_cmpuint(bits, ==, 2048);
        g_assert_cmpint(gnutls_x509_crt_get_signature_algorithm(identity.certificates[0]), ==,
                        GNUTLS_SIGN_RSA_SHA256);
        dinv_tls_identity_clear(&identity);
    }
}

static void test_kept(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    char *before[G_N_ELEMENTS(tls_store_files)];
    tls_store_prepare(store);
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        before[i] = tls_store_text_of(store, tls_store_files[i]);
    }
    tls_store_prepare(store);
    g_assert_cmpuint(store->notes->len, ==, 0);
    g_assert_cmpuint(store->warnings->len, ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        g_autofree char *now = tls_store_text_of(store, tls_store_files[i]);
        g_assert_cmpstr(now, ==, before[i]);
        g_free(before[i]);
    }
}

/* Whatever of the files is missing or empty, after a crash in the middle say, is made good, or it
 * is an error that changes nothing; an error only where the CA's key is lost. */
static void test_any_subset(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    char *whole[G_N_ELEMENTS(tls_store_files)];
    tls_store_prepare(store);
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        whole[i] = tls_store_text_of(store, tls_store_files[i]);
    }
    /* Every fifth subset, as new keys take their time: each file is there in half of them. */
    for (guint subset = 0; subset < 1u << G_N_ELEMENTS(tls_store_files); subset += 5) {
        gboolean ca_key = (subset & 1u) != 0;
        gboolean ca = (subset & 2u) != 0;
        gboolean server = (subset & 0x1cu) == 0x1cu;
        for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
            if ((subset & (1u << i)) != 0) {
                tls_store_put(store, tls_store_files[i], whole[i]);
            } else if (subset % 3 == 0) {
                tls_store_put(store, tls_store_files[i], "");
            } else {
                g_autofree char *path = tls_store_path_of(store, tls_store_files[i]);
                (void)g_unlink(path);
            }
        }
        if (ca && !ca_key && !server) {
            tls_store_expect_failure(store, "ca/cert.pem\" has no private key beside it");
            continue;
        }
        tls_store_prepare(store);
        if (ca_key || !server) {
            tls_store_expect_handshake(store);
        }
        for (guint i = 0; i < G_N_ELEMENTS(tls_store_files);
             i += 2) { /* what was kept of the keys */
            g_autofree char *now = tls_store_text_of(store, tls_store_files[i]);
            g_assert_true((subset & (1u << i)) == 0 || i == 4 || i == 6 ||
                          g_strcmp0(now, whole[i]) == 0);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(tls_store_files); i++) {
        g_free(whole[i]);
    }
}

/* --- What is made anew --- */

/* With the CA's key there, docker:dind's and our own are signed anew with the same keys; the test's
 * certificates lack the name "docker" in any case. */
static void test_renewed(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    static const char *const makers[] = {"dinv", "docker:dind"};
    for (guint i = 0; i < G_N_ELEMENTS(makers); i++) {
        tls_store_put_all(store, makers[i], -9 * TLS_DAY, -TLS_DAY);
        g_autofree char *ca = tls_store_text_of(store, "ca/cert.pem");
        g_autofree char *server_key = tls_store_text_of(store, "server/key.pem");
        g_autofree char *client_key = tls_store_text_of(store, "client/key.pem");
        tls_store_prepare(store);
        g_assert_cmpuint(store->notes->len, ==, 2);
        g_assert_nonnull(strstr(store->notes->pdata[0], "server/cert.pem\" expired on 20"));
        g_autofree char *ca_now = tls_store_text_of(store, "ca/cert.pem");
        g_autofree char *server_key_now = tls_store_text_of(store, "server/key.pem");
        g_autofree char *client_key_now = tls_store_text_of(store, "client/key.pem");
        g_assert_cmpstr(ca_now, ==, ca);
        g_assert_cmpstr(server_key_now, ==, server_key);
        g_assert_cmpstr(client_key_now, ==, client_key);
        tls_store_expect_handshake(store);
    }
}

/* An address that the container did not have before. */
static void test_new_name(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    static const char *const more[] = {"DNS:docker", "IP:192.0.2.7", NULL};
    g_autoptr(GError) error = NULL;
    tls_store_prepare(store);
    g_autofree char *client = tls_store_text_of(store, "client/cert.pem");
    g_assert_true(
        dinv_tls_store_prepare(store->directory, more, store->notes, store->warnings, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(store->notes->len, ==, 1);
    g_assert_nonnull(strstr(store->notes->pdata[0], "does not have the name IP:192.0.2.7"));
    g_autofree char *client_now = tls_store_text_of(store, "client/cert.pem");
    g_assert_cmpstr(client_now, ==, client);
}

/* A CA that ends soon keeps its key and name: what clients hold of it is still good. */
static void test_ca_renewed(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    tls_store_prepare(store);
    DinvTlsIdentity ca = tls_identity(DINV_TLS_CA, "dinv CA", NULL, -TLS_DAY, 20 * TLS_DAY);
    DinvTlsIdentity client = tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, -TLS_DAY, TLS_DAY);
    tls_store_put_identity(store, "ca", &ca);
    tls_store_put_identity(store, "client", &client);
    tls_store_prepare(store);
    g_assert_nonnull(strstr(store->notes->pdata[0], "ca/cert.pem\" ends within 30 days"));
    tls_store_expect_handshake(store);
    /* The former client's certificate lets it in at the renewed CA. */
    tls_store_put_identity(store, "client", &client);
    tls_store_expect_handshake(store);
    dinv_tls_identity_clear(&client);
    dinv_tls_identity_clear(&ca);
}

/* GitLab shares client/ alone between the service's containers: it outlives its CA. */
static void test_client_of_former_ca(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *former = NULL;
    tls_store_prepare(store);
    former = tls_store_text_of(store, "client/key.pem");
    for (guint i = 0; i < 5; i++) { /* ca/ and server/ */
        tls_store_take_away(store, tls_store_files[i]);
    }
    tls_store_prepare(store);
    tls_store_expect_handshake(store);
    g_autofree char *now = tls_store_text_of(store, "client/key.pem");
    g_assert_cmpstr(now, ==, former);
}

/* --- Where it goes wrong --- */

static void test_no_directory(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    scratch_write(&store->scratch, "certs", "in the way");
    g_assert_false(dinv_tls_store_prepare(store->directory, tls_store_names, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, store->directory));
}

/* Several at a time in one directory, as containers that share a volume: all end well, with the
 * same certificates. */
static void test_many_at_once(TlsStore *store, gconstpointer data G_GNUC_UNUSED) {
    pid_t children[6];
    for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
        children[i] = fork();
        g_assert_cmpint(children[i], >=, 0);
        if (children[i] == 0) {
            gboolean good =
                dinv_tls_store_prepare(store->directory, tls_store_names, NULL, NULL, NULL);
            _exit(good ? 0 : 1);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
        int status = 0;
        g_assert_cmpint(waitpid(children[i], &status, 0), ==, children[i]);
        g_assert_cmpint(status, ==, 0);
    }
    tls_store_prepare(store);
    g_assert_cmpuint(store->notes->len, ==, 0);
    tls_store_expect_handshake(store);
}

static void test_names(void) {
    static const char *const more[] = {"DNS:Ci.Example.ORG", "DNS:docker", "IP:2001:DB8:0::1",
                                       "IP:192.0.2.7", NULL};
    g_auto(GStrv) plain = dinv_tls_list_names(NULL);
    g_auto(GStrv) all = dinv_tls_list_names(more);
    const char *const *list = (const char *const *)all;
    g_assert_true(g_strv_contains((const char *const *)plain, "DNS:docker"));
    g_assert_true(g_strv_contains((const char *const *)plain, "IP:127.0.0.1"));
    g_assert_true(g_strv_contains((const char *const *)plain, "IP:::1"));
    g_assert_true(g_strv_contains(list, "DNS:ci.example.org"));
    g_assert_true(g_strv_contains(list, "IP:2001:db8::1"));
    g_assert_true(g_strv_contains(list, "IP:192.0.2.7"));
    g_assert_cmpuint(g_strv_length(all), ==, g_strv_length(plain) + 3);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/tls-store/" name, TlsStore, NULL, tls_store_set_up, function,            \
               tls_store_tear_down)
    ADD("layout", test_layout);
    ADD("kept", test_kept);
    ADD("form-of-keys", test_form_of_keys);
    ADD("any-subset", test_any_subset);
    ADD("renewed", test_renewed);
    ADD("new-name", test_new_name);
    ADD("ca-renewed", test_ca_renewed);
    ADD("client-of-former-ca", test_client_of_former_ca);
    ADD("no-directory", test_no_directory);
    ADD("many-at-once", test_many_at_once);
    g_test_add_func("/launcher/tls-store/names", test_names);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
#include "launcher/tls/store.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/tls-fixture.h"

static const char *const names[] = {"DNS:docker", "DNS:localhost", "IP:127.0.0.1", "IP:::1", NULL};

static const char *const files[] = {"ca/key.pem",      "ca/cert.pem",   "server/key.pem",
                                    "server/cert.pem", "server/ca.pem", "client/key.pem",
                                    "client/cert.pem", "client/ca.pem"};

typedef struct {
    Scratch scratch;
    char *directory;
    GPtrArray *notes;
    GPtrArray *warnings;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    fixture->directory = scratch_path(&fixture->scratch, "certs");
    fixture->notes = g_ptr_array_new_with_free_func(g_free);
    fixture->warnings = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_ptr_array_unref(fixture->notes);
    g_ptr_array_unref(fixture->warnings);
    g_free(fixture->directory);
    scratch_remove(&fixture->scratch);
}

static char *path_of(const Fixture *fixture, const char *file) {
    return g_build_filename(fixture->directory, file, NULL);
}

static char *text_of(const Fixture *fixture, const char *file) {
    g_autofree char *path = path_of(fixture, file);
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void put(const Fixture *fixture, const char *file, const char *text) {
    g_autofree char *name = g_build_filename("certs", file, NULL);
    scratch_write(&fixture->scratch, name, text);
}

static void take_away(const Fixture *fixture, const char *file) {
    g_autofree char *path = path_of(fixture, file);
    g_assert_cmpint(g_unlink(path), ==, 0);
}

static void prepare(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    DinvTlsFiles used = {0};
    g_ptr_array_set_size(fixture->notes, 0);
    g_ptr_array_set_size(fixture->warnings, 0);
    gboolean good = dinv_tls_store_prepare(fixture->directory, names, fixture->notes,
                                           fixture->warnings, &used, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_autofree char *certificate = path_of(fixture, "server/cert.pem");
    g_assert_cmpstr(used.certificate, ==, certificate);
    dinv_tls_files_clear(&used);
}

/* Both check and prepare say `text`, and nothing has changed. */
static void expect_failure(Fixture *fixture, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) again = NULL;
    DinvTlsFiles used = {0};
    char *before[G_N_ELEMENTS(files)];
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        before[i] = text_of(fixture, files[i]);
    }
    g_assert_false(dinv_tls_store_check(fixture->directory, names, NULL, NULL, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, text));
    g_assert_nonnull(strstr(error->message, fixture->directory));
    g_assert_null(strchr(error->message, '\n'));
    g_assert_false(dinv_tls_store_prepare(fixture->directory, names, NULL, NULL, &used, &again));
    g_assert_cmpstr(again->message, ==, error->message);
    g_assert_null(used.certificate);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *now = text_of(fixture, files[i]);
        g_assert_cmpstr(now, ==, before[i]);
        g_free(before[i]);
    }
}

static DinvTlsIdentity read_identity(const Fixture *fixture, const char *role) {
    g_autofree char *key = g_build_filename(fixture->directory, role, "key.pem", NULL);
    g_autofree char *certificate = g_build_filename(fixture->directory, role, "cert.pem", NULL);
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
static void expect_handshake(const Fixture *fixture) {
    static const char *const roles[] = {"server", "client"};
    gnutls_certificate_credentials_t credentials[2];
    gnutls_session_t sessions[2];
    gboolean done[2] = {FALSE, FALSE};
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *ca = g_build_filename(fixture->directory, roles[i], "ca.pem", NULL);
        g_autofree char *key = g_build_filename(fixture->directory, roles[i], "key.pem", NULL);
        g_autofree char *certificate =
            g_build_filename(fixture->directory, roles[i], "cert.pem", NULL);
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

/* --- What is made --- */

static void test_layout(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    /* As docker:dind: a client in another container may be another user. */
    static const mode_t modes[] = {0600, 0644, 0600, 0644, 0644, 0644, 0644, 0644};
    mode_t mask = umask(0077);
    g_autoptr(GError) error = NULL;
    g_assert_true(dinv_tls_store_check(fixture->directory, names, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(fixture->directory, G_FILE_TEST_EXISTS));
    prepare(fixture);
    (void)umask(mask);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = path_of(fixture, files[i]);
        struct stat status;
        g_assert_cmpint(stat(path, &status), ==, 0);
        g_assert_cmpuint(status.st_mode & 07777, ==, modes[i]);
    }
    g_autofree char *ca = text_of(fixture, "ca/cert.pem");
    g_autofree char *server_ca = text_of(fixture, "server/ca.pem");
    g_autofree char *client_ca = text_of(fixture, "client/ca.pem");
    g_assert_cmpstr(ca, ==, server_ca);
    g_assert_cmpstr(ca, ==, client_ca);
    expect_handshake(fixture);
    DinvTlsIdentity server = read_identity(fixture, "server");
    g_auto(GStrv) has = dinv_tls_certificate_get_names(server.certificates[0]);
    g_assert_true(g_strv_equal((const char *const *)has, names));
    dinv_tls_identity_clear(&server);
}

static void test_kept(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char *before[G_N_ELEMENTS(files)];
    prepare(fixture);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        before[i] = text_of(fixture, files[i]);
    }
    prepare(fixture);
    g_assert_cmpuint(fixture->notes->len, ==, 0);
    g_assert_cmpuint(fixture->warnings->len, ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *now = text_of(fixture, files[i]);
        g_assert_cmpstr(now, ==, before[i]);
        g_free(before[i]);
    }
}

/* Whatever of the files is missing or empty, after a crash in the middle say, is made good, or it
 * is an error that changes nothing; an error only where the CA's key is lost. */
static void test_any_subset(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char *whole[G_N_ELEMENTS(files)];
    prepare(fixture);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        whole[i] = text_of(fixture, files[i]);
    }
    for (guint subset = 0; subset < 1u << G_N_ELEMENTS(files); subset++) {
        gboolean ca_key = (subset & 1u) != 0;
        gboolean ca = (subset & 2u) != 0;
        gboolean server = (subset & 0x1cu) == 0x1cu;
        for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
            if ((subset & (1u << i)) != 0) {
                put(fixture, files[i], whole[i]);
            } else if (subset % 3 == 0) {
                put(fixture, files[i], "");
            } else {
                g_autofree char *path = path_of(fixture, files[i]);
                (void)g_unlink(path);
            }
        }
        if (ca && !ca_key && !server) {
            expect_failure(fixture, "ca/cert.pem\" has no private key beside it");
            continue;
        }
        prepare(fixture);
        if (ca_key || !server) {
            expect_handshake(fixture);
        }
        for (guint i = 0; i < G_N_ELEMENTS(files); i += 2) { /* what was kept of the keys */
            g_autofree char *now = text_of(fixture, files[i]);
            g_assert_true((subset & (1u << i)) == 0 || i == 4 || i == 6 ||
                          g_strcmp0(now, whole[i]) == 0);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_free(whole[i]);
    }
}

/* --- What is made anew --- */

static void put_identity(const Fixture *fixture, const char *role,
                         const DinvTlsIdentity *identity) {
    g_autofree char *key_file = g_build_filename(role, "key.pem", NULL);
    g_autofree char *certificate_file = g_build_filename(role, "cert.pem", NULL);
    g_autofree char *key = dinv_tls_key_to_text(identity->key, NULL);
    g_autofree char *certificate = dinv_tls_certificate_to_text(identity->certificates[0], NULL);
    put(fixture, key_file, key);
    put(fixture, certificate_file, certificate);
}

/* Whole directories whose parts were valid from `start` to `end`, made by `maker`. */
static void put_all(Fixture *fixture, const char *maker, time_t start, time_t end) {
    static const char *const roles[] = {"ca", "server", "client"};
    DinvTlsIdentity identities[3] = {0};
    for (guint i = 0; i < 3; i++) {
        g_autofree char *name = g_strdup_printf("%s %s", maker, i == 0 ? "CA" : roles[i]);
        identities[i] = tls_identity((DinvTlsRole)i, name, i == 0 ? NULL : &identities[0],
                                     i == 0 ? -10 * TLS_DAY : start, i == 0 ? 100 * TLS_DAY : end);
        put_identity(fixture, roles[i], &identities[i]);
        if (i > 0) {
            g_autofree char *file = g_build_filename(roles[i], "ca.pem", NULL);
            g_autofree char *text =
                dinv_tls_certificate_to_text(identities[0].certificates[0], NULL);
            put(fixture, file, text);
        }
    }
    for (guint i = 0; i < 3; i++) {
        dinv_tls_identity_clear(&identities[i]);
    }
}

/* With the CA's key there, docker:dind's and our own are signed anew with the same keys; the test's
 * certificates lack the name "docker" in any case. */
static void test_renewed(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const char *const makers[] = {"dinv", "docker:dind"};
    for (guint i = 0; i < G_N_ELEMENTS(makers); i++) {
        put_all(fixture, makers[i], -9 * TLS_DAY, -TLS_DAY);
        g_autofree char *ca = text_of(fixture, "ca/cert.pem");
        g_autofree char *server_key = text_of(fixture, "server/key.pem");
        g_autofree char *client_key = text_of(fixture, "client/key.pem");
        prepare(fixture);
        g_assert_cmpuint(fixture->notes->len, ==, 2);
        g_assert_nonnull(strstr(fixture->notes->pdata[0], "server/cert.pem\" expired on 20"));
        g_autofree char *ca_now = text_of(fixture, "ca/cert.pem");
        g_autofree char *server_key_now = text_of(fixture, "server/key.pem");
        g_autofree char *client_key_now = text_of(fixture, "client/key.pem");
        g_assert_cmpstr(ca_now, ==, ca);
        g_assert_cmpstr(server_key_now, ==, server_key);
        g_assert_cmpstr(client_key_now, ==, client_key);
        expect_handshake(fixture);
    }
}

/* An address that the container did not have before. */
static void test_new_name(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const char *const more[] = {"DNS:docker", "IP:192.0.2.7", NULL};
    g_autoptr(GError) error = NULL;
    DinvTlsFiles used = {0};
    prepare(fixture);
    g_autofree char *client = text_of(fixture, "client/cert.pem");
    g_assert_true(dinv_tls_store_prepare(fixture->directory, more, fixture->notes,
                                         fixture->warnings, &used, &error));
    g_assert_no_error(error);
    dinv_tls_files_clear(&used);
    g_assert_cmpuint(fixture->notes->len, ==, 1);
    g_assert_nonnull(strstr(fixture->notes->pdata[0], "does not have the name IP:192.0.2.7"));
    g_autofree char *client_now = text_of(fixture, "client/cert.pem");
    g_assert_cmpstr(client_now, ==, client);
}

/* A CA that ends soon keeps its key and name: what clients hold of it is still good. */
static void test_ca_renewed(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    prepare(fixture);
    DinvTlsIdentity ca = tls_identity(DINV_TLS_CA, "dinv CA", NULL, -TLS_DAY, 20 * TLS_DAY);
    DinvTlsIdentity client = tls_identity(DINV_TLS_CLIENT, "dinv client", &ca, -TLS_DAY, TLS_DAY);
    put_identity(fixture, "ca", &ca);
    put_identity(fixture, "client", &client);
    prepare(fixture);
    expect_handshake(fixture);
    /* The former client's certificate lets it in at the renewed CA. */
    put_identity(fixture, "client", &client);
    expect_handshake(fixture);
    dinv_tls_identity_clear(&client);
    dinv_tls_identity_clear(&ca);
}

/* GitLab shares client/ alone between the service's containers: it outlives its CA. */
static void test_client_of_former_ca(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *former = NULL;
    prepare(fixture);
    former = text_of(fixture, "client/key.pem");
    for (guint i = 0; i < 5; i++) { /* ca/ and server/ */
        take_away(fixture, files[i]);
    }
    prepare(fixture);
    expect_handshake(fixture);
    g_autofree char *now = text_of(fixture, "client/key.pem");
    g_assert_cmpstr(now, ==, former);
}

/* --- What is somebody else's --- */

static void test_given(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    put_all(fixture, "acme", -TLS_DAY, TLS_DAY);
    take_away(fixture, "ca/key.pem");
    g_autofree char *server = text_of(fixture, "server/cert.pem");
    prepare(fixture);
    g_autofree char *now = text_of(fixture, "server/cert.pem");
    g_assert_cmpstr(now, ==, server);
}

static void test_given_expired(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    put_all(fixture, "acme", -9 * TLS_DAY, -TLS_DAY);
    expect_failure(fixture, "server/cert.pem\" expired on 20");
    take_away(fixture, "ca/key.pem");
    expect_failure(fixture, "server/cert.pem\" expired on 20");
    put_all(fixture, "acme", TLS_DAY, 2 * TLS_DAY);
    expect_failure(fixture, "server/cert.pem\" is not valid before 20");
}

/* Also ours cannot be renewed when the CA's key is kept elsewhere. */
static void test_expired_without_ca_key(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    put_all(fixture, "dinv", -9 * TLS_DAY, -TLS_DAY);
    take_away(fixture, "ca/key.pem");
    expect_failure(fixture, "server/cert.pem\" expired on 20");
}

static void test_given_half(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    put_all(fixture, "acme", -TLS_DAY, TLS_DAY);
    g_autofree char *key = text_of(fixture, "server/key.pem");
    take_away(fixture, "server/key.pem");
    expect_failure(fixture, "server/cert.pem\" has no private key beside it (key.pem)");
    take_away(fixture, "ca/key.pem");
    expect_failure(fixture, "ca/cert.pem\" has no private key beside it (key.pem) to sign with");
    take_away(fixture, "ca/cert.pem");
    expect_failure(fixture, "server/cert.pem\" is there, but not all of server/{ca,cert,key}.pem");
    put(fixture, "server/key.pem", key);
    take_away(fixture, "server/ca.pem");
    expect_failure(fixture, "server/cert.pem\" is there, but not all of server/{ca,cert,key}.pem");
}

static void test_given_mismatch(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    put_all(fixture, "acme", -TLS_DAY, TLS_DAY);
    g_autofree char *client_key = text_of(fixture, "client/key.pem");
    g_autofree char *client = text_of(fixture, "client/cert.pem");
    g_autofree char *key = text_of(fixture, "server/key.pem");
    put(fixture, "server/key.pem", client_key);
    expect_failure(fixture, "server/cert.pem\" does not belong to the private key beside it");
    put(fixture, "server/cert.pem", client);
    expect_failure(fixture, "server/cert.pem\" is not signed for a server by the CA");
    put(fixture, "server/key.pem", key);
    put(fixture, "ca/key.pem", key);
    expect_failure(fixture, "ca/cert.pem\" does not belong to the private key beside it");
}

static void test_no_pem(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *huge = g_strnfill((gsize)300 * 1024, 'x');
    prepare(fixture);
    put(fixture, "server/key.pem", "hello\n");
    expect_failure(fixture,
                   "server/key.pem\" is not a private key in PEM form without a passphrase");
    put(fixture, "server/key.pem", huge);
    expect_failure(fixture, "server/key.pem\" is not a PEM file: it has 300 KiB, the most is 256");
    take_away(fixture, "server/key.pem");
    put(fixture, "ca/cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect_failure(fixture, "ca/cert.pem\" is not a certificate in PEM form");
    take_away(fixture, "ca/cert.pem");
    put(fixture, "ca/cert.pem/x", "");
    expect_failure(fixture, "ca/cert.pem\" is not a PEM file: it is a directory");
}

/* A client's certificate from elsewhere is left alone: the server does not use it. */
static void test_foreign_client(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvTlsIdentity ca = tls_identity(DINV_TLS_CA, "acme CA", NULL, -TLS_DAY, TLS_DAY);
    DinvTlsIdentity client = tls_identity(DINV_TLS_CLIENT, "somebody", &ca, -TLS_DAY, TLS_DAY);
    put_identity(fixture, "client", &client);
    g_autofree char *before = text_of(fixture, "client/cert.pem");
    prepare(fixture);
    g_autofree char *now = text_of(fixture, "client/cert.pem");
    g_assert_cmpstr(now, ==, before);
    g_assert_cmpuint(fixture->warnings->len, ==, 1);
    g_assert_nonnull(strstr(fixture->warnings->pdata[0], "clients that use it are refused"));
    dinv_tls_identity_clear(&client);
    dinv_tls_identity_clear(&ca);
}

/* --- Where it goes wrong --- */

static void test_no_directory(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    DinvTlsFiles used = {0};
    scratch_write(&fixture->scratch, "certs", "in the way");
    g_assert_false(dinv_tls_store_prepare(fixture->directory, names, NULL, NULL, &used, &error));
    g_assert_nonnull(strstr(error->message, fixture->directory));
}

/* Several at a time in one directory, as containers that share a volume: all end well, with the
 * same certificates. */
static void test_many_at_once(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    pid_t children[6];
    for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
        children[i] = fork();
        g_assert_cmpint(children[i], >=, 0);
        if (children[i] == 0) {
            DinvTlsFiles used = {0};
            gboolean good =
                dinv_tls_store_prepare(fixture->directory, names, NULL, NULL, &used, NULL);
            _exit(good ? 0 : 1);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
        int status = 0;
        g_assert_cmpint(waitpid(children[i], &status, 0), ==, children[i]);
        g_assert_cmpint(status, ==, 0);
    }
    prepare(fixture);
    g_assert_cmpuint(fixture->notes->len, ==, 0);
    expect_handshake(fixture);
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
    g_test_add("/launcher/tls-store/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("layout", test_layout);
    ADD("kept", test_kept);
    ADD("any-subset", test_any_subset);
    ADD("renewed", test_renewed);
    ADD("new-name", test_new_name);
    ADD("ca-renewed", test_ca_renewed);
    ADD("client-of-former-ca", test_client_of_former_ca);
    ADD("given", test_given);
    ADD("given-expired", test_given_expired);
    ADD("expired-without-ca-key", test_expired_without_ca_key);
    ADD("given-half", test_given_half);
    ADD("given-mismatch", test_given_mismatch);
    ADD("no-pem", test_no_pem);
    ADD("foreign-client", test_foreign_client);
    ADD("no-directory", test_no_directory);
    ADD("many-at-once", test_many_at_once);
    g_test_add_func("/launcher/tls-store/names", test_names);
    return g_test_run();
}

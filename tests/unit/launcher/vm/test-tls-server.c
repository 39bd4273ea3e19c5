/* SPDX-License-Identifier: MIT */
/*
 * The port with TLS as clients meet it: listener, server and certificates of a directory. Above all
 * that those who are not let in cost nothing that lasts, however many they are.
 */
#include "launcher/tls/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "launcher/base/log.h"
#include "tests/unit/lib/endpoints-fixture.h"
#include "tests/unit/lib/log-capture.h"
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/tls-fixture.h"

#if defined(__SANITIZE_ADDRESS__)
#define ATTEMPTS 2000u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ATTEMPTS 2000u
#endif
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 10000u
#endif

typedef struct {
    EndpointsFixture base;
    DinvVmEndpoints *endpoints;
    DinvTlsIdentity ca;     /* the server's */
    DinvTlsIdentity client; /* one that it lets in */
    LogCapture log;
} Fixture;

static DinvTlsIdentity read_identity(const Fixture *fixture, const char *role) {
    g_autofree char *key =
        g_build_filename(fixture->base.config.tls_directory, role, "key.pem", NULL);
    g_autofree char *certificate =
        g_build_filename(fixture->base.config.tls_directory, role, "cert.pem", NULL);
    DinvTlsIdentity identity = {0};
    g_assert_true(dinv_tls_identity_read(&identity, key, certificate, NULL));
    g_assert_nonnull(identity.certificates);
    return identity;
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    endpoints_set_up(&fixture->base);
    fixture->base.config.tls_directory = scratch_path(&fixture->base.scratch, "certs");
    fixture->base.config.tls.port = tcp_port_find_free();
    log_capture_begin(&fixture->log);
    dinv_log_start(DINV_LOG_WARNING);
    tls_make_certificates(fixture->base.config.tls_directory);
    fixture->endpoints = endpoints_new(&fixture->base);
    dinv_vm_endpoints_serve(fixture->endpoints, endpoints_on_client, &fixture->base);
    fixture->ca = read_identity(fixture, "ca");
    fixture->client = read_identity(fixture, "client");
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_endpoints_free(fixture->endpoints);
    dinv_tls_identity_clear(&fixture->ca);
    dinv_tls_identity_clear(&fixture->client);
    log_capture_end(&fixture->log);
    g_free(fixture->base.config.tls_directory);
    endpoints_tear_down(&fixture->base);
}

static int connect_to(const Fixture *fixture) {
    int fd = tcp_port_connect("127.0.0.1", fixture->base.config.tls.port);
    g_assert_cmpint(fd, >=, 0);
    g_assert_true(g_unix_set_fd_nonblocking(fd, TRUE, NULL));
    dinv_tcp_set_options(fd); /* no delay: it would be the most of the time */
    return fd;
}

static void expect_served(Fixture *fixture) {
    gnutls_certificate_credentials_t credentials = tls_credentials(&fixture->ca, &fixture->client);
    TlsClient *client = tls_client_new(connect_to(fixture), credentials, NULL);
    char answer[8] = "";
    gnutls_session_set_verify_cert(client->session, "docker", 0);
    g_assert_cmpint(tls_client_handshake(client), ==, 0);
    g_assert_cmpint(tls_client_receive(client, answer, sizeof answer), ==, 5);
    g_assert_cmpstr(answer, ==, "hello");
    tls_client_finish(client);
    tls_client_free(client);
    gnutls_certificate_free_credentials(credentials);
}

static void test_served(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *text = dinv_vm_endpoints_to_string(fixture->endpoints);
    g_autofree char *expected =
        g_strdup_printf("%s, tcp://*:%u (TLS)", fixture->base.config.socket_path,
                        (guint)fixture->base.config.tls.port);
    struct json_object *described = dinv_vm_endpoints_describe(fixture->endpoints);
    g_autofree char *item = g_strdup_printf("{\"address\":\"tcp://*:%u\",\"tls\":true}",
                                            (guint)fixture->base.config.tls.port);
    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpstr(
        json_object_to_json_string_ext(json_object_array_get_idx(described, 1),
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        ==, item);
    json_object_put(described);
    expect_served(fixture);
    expect_served(fixture);
    g_assert_cmpuint(fixture->base.clients, ==, 2);
}

/* When the engine stops, nobody comes in any more, and who is in hears the rest. */
static void test_stop(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    gnutls_certificate_credentials_t credentials = tls_credentials(&fixture->ca, &fixture->client);
    TlsClient *client = tls_client_new(connect_to(fixture), credentials, NULL);
    int pending = connect_to(fixture);
    char text[8] = "";
    fixture->base.keeps = TRUE;
    g_assert_cmpint(tls_client_handshake(client), ==, 0);
    g_assert_cmpint(tls_client_receive(client, text, 5), ==, 5);
    dinv_vm_endpoints_stop_listening(fixture->endpoints);
    g_assert_cmpint(tcp_port_connect("127.0.0.1", fixture->base.config.tls.port), ==, -1);
    g_assert_false(g_file_test(fixture->base.config.socket_path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(recv(pending, text, 1, 0), <=, 0);
    g_assert_cmpint(tls_client_send(client, "more", 4), ==, 4);
    tls_wait_fd(fixture->base.kept, G_IO_IN);
    g_assert_cmpint(recv(fixture->base.kept, text, 4, 0), ==, 4);
    g_assert_cmpint(write(fixture->base.kept, "last", 4), ==, 4);
    close(fixture->base.kept);
    g_clear_pointer(&fixture->endpoints, dinv_vm_endpoints_free);
    g_assert_cmpint(tls_client_receive(client, text, sizeof text), ==, 4);
    g_assert_cmpint(memcmp(text, "last", 4), ==, 0);
    close(pending);
    tls_client_free(client);
    gnutls_certificate_free_credentials(credentials);
}

/* --- Many at once --- */

#define TOGETHER 300u

/* A pipeline whose jobs all begin now: each says hello before the first one is served, and all come
 * in. */
static void test_together(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    gnutls_certificate_credentials_t credentials = tls_credentials(&fixture->ca, &fixture->client);
    TlsClient *clients[TOGETHER];
    guint left = TOGETHER;
    gboolean done[TOGETHER] = {FALSE};
    for (guint i = 0; i < TOGETHER; i++) {
        clients[i] = tls_client_new(connect_to(fixture), credentials, NULL);
        g_assert_cmpint(gnutls_handshake(clients[i]->session), ==, GNUTLS_E_AGAIN);
    }
    while (left > 0) {
        g_main_context_iteration(NULL, TRUE);
        for (guint i = 0; i < TOGETHER; i++) {
            int code = done[i] ? GNUTLS_E_AGAIN : gnutls_handshake(clients[i]->session);
            done[i] = done[i] || code == 0;
            left -= code == 0;
            g_assert_true(code == 0 || gnutls_error_is_fatal(code) == 0);
        }
    }
    for (guint i = 0; i < TOGETHER; i++) {
        char answer[8] = "";
        g_assert_cmpint(tls_client_receive(clients[i], answer, sizeof answer), ==, 5);
        tls_client_finish(clients[i]);
        tls_client_free(clients[i]);
    }
    g_assert_cmpuint(fixture->base.clients, ==, TOGETHER);
    gnutls_certificate_free_credentials(credentials);
}

/* --- Those who do not trust us --- */

/* OpenSSL's clients say so unencrypted, some behind a change_cipher_spec; and other alerts. */
static void test_alerts_in_the_clear(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const struct {
        const char *records;
        gsize length;
        const char *said;
    } cases[] = {
        {"\x15\x03\x03\x00\x02\x02\x30", 7, "does not trust the CA of this engine"},
        {"\x14\x03\x03\x00\x01\x01\x15\x03\x03\x00\x02\x02\x2a", 13,
         "does not trust the CA of this engine"},
        {"\x15\x03\x03\x00\x02\x02\x2d", 7, "takes the certificate of this engine for expired"},
        {"\x15\x03\x03\x00\x02\x02\x50", 7, "gave up: Internal error"},
        {"\x17\x03\x03\x00\x02\x02\x30", 7, "failed: "},
    };
    gnutls_certificate_credentials_t credentials = tls_credentials(&fixture->ca, &fixture->client);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        TlsClient *client = tls_client_new(connect_to(fixture), credentials, NULL);
        g_assert_cmpint(gnutls_handshake(client->session), ==, GNUTLS_E_AGAIN);
        tls_wait_fd(client->fd, G_IO_IN); /* the server has said who it is */
        guint before = log_capture_count(&fixture->log, cases[i].said);
        for (gsize sent = 0; sent < cases[i].length; sent++) { /* read as it comes */
            g_assert_cmpint(send(client->fd, cases[i].records + sent, 1, MSG_NOSIGNAL), ==, 1);
            while (g_main_context_iteration(NULL, FALSE)) {
            }
        }
        wait_until(log_capture_count(&fixture->log, cases[i].said) > before);
        tls_client_free(client);
    }
    gnutls_certificate_free_credentials(credentials);
}

/* --- The uninvited --- */

static guint count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    guint count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static gsize get_rss(void) {
    g_autofree char *text = NULL;
    gsize size = 0;
    gsize resident = 0;
    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%zu %zu", &size, &resident), ==, 2);
    return resident * 4096;
}

typedef enum {
    SCAN,    /* connects and goes */
    GARBAGE, /* sends what is no TLS */
    HTTP,
    NOTHING,  /* shows no certificate */
    STRANGER, /* shows one of another CA */
    EXPIRED,  /* shows one that has expired */
    SILENT,   /* stays, and says nothing */
    HALF,     /* stays in the middle of a handshake */
    KINDS,
} Kind;

#define SILENT_MAX 300u

typedef struct {
    Fixture *fixture;
    gnutls_certificate_credentials_t credentials[KINDS]; /* NULL for those without TLS */
    DinvTlsIdentity other_ca;
    DinvTlsIdentity stranger;
    DinvTlsIdentity expired;
    int silent[SILENT_MAX]; /* a ring */
    guint silent_count;
} Crowd;

static void crowd_make(Crowd *crowd, Fixture *fixture) {
    *crowd = (Crowd){.fixture = fixture};
    g_autofree char *ca_name = dinv_tls_certificate_get_common_name(fixture->ca.certificates[0]);
    crowd->other_ca = tls_identity(DINV_TLS_CA, ca_name, NULL, -TLS_DAY, TLS_DAY);
    crowd->stranger = tls_identity(DINV_TLS_CLIENT, "x", &crowd->other_ca, -TLS_DAY, TLS_DAY);
    crowd->expired = tls_identity(DINV_TLS_CLIENT, "x", &fixture->ca, -2 * TLS_DAY, -TLS_DAY);
    crowd->credentials[NOTHING] = tls_credentials(&fixture->ca, NULL);
    crowd->credentials[STRANGER] = tls_credentials(&fixture->ca, &crowd->stranger);
    crowd->credentials[EXPIRED] = tls_credentials(&fixture->ca, &crowd->expired);
}

static void crowd_clear(Crowd *crowd) {
    for (guint i = 0; i < MIN(crowd->silent_count, SILENT_MAX); i++) {
        close(crowd->silent[i]);
    }
    for (guint i = 0; i < KINDS; i++) {
        if (crowd->credentials[i] != NULL) {
            gnutls_certificate_free_credentials(crowd->credentials[i]);
        }
    }
    dinv_tls_identity_clear(&crowd->expired);
    dinv_tls_identity_clear(&crowd->stranger);
    dinv_tls_identity_clear(&crowd->other_ca);
}

static void stay(Crowd *crowd, int fd) {
    int *place = &crowd->silent[crowd->silent_count % SILENT_MAX];
    if (crowd->silent_count >= SILENT_MAX) {
        close(*place);
    }
    *place = fd;
    crowd->silent_count++;
}

static void refused_handshake(const Crowd *crowd, Kind kind, int fd) {
    TlsClient *client = tls_client_new(fd, crowd->credentials[kind], NULL);
    char byte;
    int code = tls_client_handshake(client);
    if (code == 0) {
        code = (int)tls_client_receive(client, &byte, 1);
    }
    g_assert_cmpint(code, ==, GNUTLS_E_FATAL_ALERT_RECEIVED);
    tls_client_free(client);
}

static void try_once(Crowd *crowd, Kind kind) {
    static const char http[] = "GET / HTTP/1.0\r\n\r\n";
    static const char hello[] = "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03";
    int fd = connect_to(crowd->fixture);
    char text[64];
    switch (kind) {
    case SCAN:
        close(fd);
        break;
    case GARBAGE:
        (void)send(fd, "\0\1\2\3garbage", 11, MSG_NOSIGNAL);
        close(fd);
        break;
    case HTTP:
        (void)send(fd, http, sizeof http - 1, MSG_NOSIGNAL);
        tls_wait_fd(fd, G_IO_IN);
        g_assert_cmpint(recv(fd, text, sizeof text, 0), >, 0);
        close(fd);
        break;
    case HALF:
        (void)send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL);
        stay(crowd, fd);
        break;
    case SILENT:
        stay(crowd, fd);
        break;
    case NOTHING:
    case STRANGER:
    case EXPIRED:
        refused_handshake(crowd, kind, fd);
        break;
    case KINDS:
    default:
        g_assert_not_reached();
    }
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* 10,000 of all kinds, which leave neither memory nor descriptors behind, fill no log, and keep
 * nobody out. */
static void test_crowd(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const guint allowed = DINV_TLS_PENDING_MAX + SILENT_MAX + 16;
    guint before = count_descriptors();
    gsize rss = 0;
    Crowd crowd;
    crowd_make(&crowd, fixture);
    for (guint i = 0; i < ATTEMPTS; i++) {
        try_once(&crowd, (Kind)(i % KINDS));
        if (i == ATTEMPTS / 5) { /* as many pending as there can be */
            rss = get_rss();
        }
        if (i % 500 == 0) {
            g_assert_cmpuint(count_descriptors(), <=, before + allowed);
            expect_served(fixture);
        }
    }
    g_test_message("resident: %zu KiB after a fifth, %zu KiB at the end", rss / 1024,
                   get_rss() / 1024);
#if ATTEMPTS == 10000u /* AddressSanitizer keeps freed memory on purpose */
    g_assert_cmpuint(get_rss(), <, rss + (4u << 20));
#endif
    crowd_clear(&crowd);
    expect_served(fixture);
    g_assert_cmpuint(fixture->base.clients, ==, ATTEMPTS / 500 + 1);
    g_autofree char *log = log_capture_get(&fixture->log);
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);
    g_test_message("%s", log);
    g_assert_cmpuint(g_strv_length(lines), >, 3);
    /* A window of time is a minute: five lines and a summary each. */
    g_assert_cmpuint(g_strv_length(lines), <, 40);
    g_assert_nonnull(strstr(log, "refused a client with TLS: "));
    g_assert_nonnull(strstr(log, "TLS: 127.0.0.1 showed no certificate"));
}

/* All of those that say nothing go when their time is over or when there are too many; the kernel's
 * own queue never gets full by them. */
static void test_oldest_goes(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int first = connect_to(fixture);
    int others[DINV_TLS_PENDING_MAX];
    char byte;
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        others[i] = connect_to(fixture);
    }
    tls_wait_fd(first, G_IO_IN);
    g_assert_cmpint(recv(first, &byte, 1, 0), <=, 0);
    g_assert_cmpint(recv(others[G_N_ELEMENTS(others) - 1], &byte, 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    expect_served(fixture);
    close(first);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        close(others[i]);
    }
}

/* Another container makes certificates in the same volume, for as long as it likes: with those that
 * are there a server starts at once. */
static void test_locked(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *directory = scratch_path(&scratch, "certs");
    g_autofree char *socket_path = scratch_path(&scratch, "docker.sock");
    const DinvConfig config = {.socket_path = socket_path,
                               .socket_mode = 0600,
                               .socket_uid = (uid_t)-1,
                               .socket_gid = (gid_t)-1,
                               .tls_directory = directory,
                               .tls = {.port = tcp_port_find_free()}};
    tls_make_certificates(directory);
    int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(flock(lock, LOCK_EX | LOCK_NB), ==, 0);
    g_autoptr(GError) error = NULL;
    DinvVmEndpoints *endpoints = dinv_vm_endpoints_new(&config, &error);
    g_assert_no_error(error);
    g_assert_true(dinv_vm_endpoints_load_certificates(endpoints, &error));
    g_assert_no_error(error); /* who waits for the lock fails after a while */
    dinv_vm_endpoints_free(endpoints);
    close(lock);
    scratch_remove(&scratch);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/tls-server/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("served", test_served);
    ADD("stop", test_stop);
    ADD("together", test_together);
    ADD("alerts-in-the-clear", test_alerts_in_the_clear);
    ADD("oldest-goes", test_oldest_goes);
    ADD("crowd", test_crowd);
    g_test_add_func("/launcher/tls-server/locked", test_locked);
    return g_test_run();
}

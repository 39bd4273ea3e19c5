/* SPDX-License-Identifier: MIT */
/* The checks of where the engine is to answer: unix socket, TCP ports, certificates. */
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/lib/preflight-fixture.h"
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/unix-port.h"

static void test_plaintext(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->plaintext.port = tcp_port_find_free();
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "tcp", DINV_PREFLIGHT_OK)->text, "without TLS"));
    int fd = tcp_port_take(&fixture->config->plaintext.port);
    g_autofree char *taken =
        g_strdup_printf("DINV_PLAINTEXT_PORT: cannot listen on tcp://*:%u: Address already in use",
                        (guint)fixture->config->plaintext.port);
    assert_failed(fixture, "tcp", taken);
    close(fd);
}

/* The certificates are looked at, and nothing is made; what is wrong is said with its remedy. */
static void test_certificates(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->tls_directory = scratch_path(&fixture->scratch, "certs");
    fixture->config->tls.port = tcp_port_find_free();
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "tcp", DINV_PREFLIGHT_OK)->text, "with TLS"));
    g_assert_false(g_file_test(fixture->config->tls_directory, G_FILE_TEST_EXISTS));
    scratch_write(&fixture->scratch, "certs/ca/cert.pem", "no certificate\n");
    assert_failed(fixture, "certificates", "ca/cert.pem\" is not a certificate in PEM form");
    g_assert_true(g_str_has_prefix(fixture->error->message, "DINV_TLS_CERTDIR: "));
    scratch_write(&fixture->scratch, "certs/ca/cert.pem", "");
    int taken = tcp_port_take(&fixture->config->tls.port);
    assert_failed(fixture, "tcp", "DINV_TLS_PORT: cannot listen on tcp://*:");
    close(taken);
}

static void test_socket(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const char *path = fixture->config->socket_path;
    g_autofree char *directory = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir(directory, 0755), ==, 0);
    int fd = unix_port_listen(path);
    assert_failed(fixture, "socket", "something answers at");
    close(fd);
    g_assert_true(run(fixture)); /* stale: it will be replaced */
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(path), ==, 0);
    scratch_write(&fixture->scratch, "run/docker.sock", "");
    assert_failed(fixture, "socket", "is there and is not a socket");
    set_text(&fixture->config->socket_path,
             scratch_path(&fixture->scratch, "run/docker.sock/below"));
    assert_failed(fixture, "socket", "");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("plaintext", test_plaintext);
    PREFLIGHT_TEST("certificates", test_certificates);
    PREFLIGHT_TEST("socket", test_socket);
    return g_test_run();
}

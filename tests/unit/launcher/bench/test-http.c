/* SPDX-License-Identifier: MIT */
/* Answers of an engine, good and bad, over a socket pair whose other end has said all it has. */
#include "launcher/bench/http.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_status(void) {
    g_assert_cmpuint(dinv_bench_http_status("HTTP/1.0 200 OK\r\n"), ==, 200);
    g_assert_cmpuint(dinv_bench_http_status("HTTP/1.1 404"), ==, 404);
    g_assert_cmpuint(dinv_bench_http_status("HTTP/1.1 40"), ==, 0);
    g_assert_cmpuint(dinv_bench_http_status("HTTP/1.1 4x4 "), ==, 0);
    g_assert_cmpuint(dinv_bench_http_status("HTTP/1.1-200 OK"), ==, 0);
    g_assert_cmpuint(dinv_bench_http_status("SSH-2.0-OpenSSH 200"), ==, 0);
    g_assert_cmpuint(dinv_bench_http_status(""), ==, 0);
}

/* What is made of an answer. */
static char *finish(const char *answer, gsize length, GError **error) {
    int ends[2];
    int signals[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    g_assert_true(g_unix_open_pipe(signals, FD_CLOEXEC, NULL));
    g_assert_true(g_unix_set_fd_nonblocking(signals[0], TRUE, NULL));
    g_assert_true(g_unix_set_fd_nonblocking(ends[0], TRUE, NULL));
    g_assert_cmpint(write(ends[1], answer, length), ==, (gssize)length);
    close(ends[1]);
    DinvBenchWatch watch = {.signal_fd = signals[0],
                            .deadline_us = g_get_monotonic_time() + 60000000};
    char *body = dinv_bench_http_finish(&watch, ends[0], error);
    close(signals[0]);
    close(signals[1]);
    return body;
}

static void check_good(const char *answer, const char *expected) {
    g_autoptr(GError) error = NULL;
    g_autofree char *body = finish(answer, strlen(answer), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(body, ==, expected);
}

static void check_bad(const char *answer, const char *expected) {
    g_autoptr(GError) error = NULL;
    g_autofree char *body = finish(answer, strlen(answer), &error);
    g_assert_null(body);
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, expected));
}

static void test_good(void) {
    check_good("HTTP/1.0 200 OK\r\nA: b\r\n\r\nOK", "OK");
    check_good("HTTP/1.0 204 No Content\r\n\r\n", "");
}

static void test_bad(void) {
    check_bad("", "no head");
    check_bad("HTTP/1.0 200 OK\r\n", "no head");
    check_bad("hello\r\n\r\n", "no head");
    check_bad("HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such\\u001b image\"}",
              "the engine answered 404: no such\\x1b image");
    check_bad("HTTP/1.0 500 Error\r\n\r\n{\"message\":[", "answered 500: {\"message\":[");
    check_bad("HTTP/1.0 500 Error\r\n\r\n[]", "answered 500: []");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bench/http/status", test_status);
    g_test_add_func("/bench/http/good", test_good);
    g_test_add_func("/bench/http/bad", test_bad);
    return g_test_run();
}

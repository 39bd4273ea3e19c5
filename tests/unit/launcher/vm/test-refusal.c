/* SPDX-License-Identifier: MIT */
/* What clients hear that waited for an engine which does not come. */
#include "launcher/vm/refusal.h"

#include <string.h>
#include <sys/socket.h>

#include "launcher/base/log.h"
#include "tests/unit/lib/endpoints-fixture.h"
#include "tests/unit/lib/unix-port.h"

#define REASON "DINV_X: \"y\" is wrong"

static char *read_all(int fd) {
    char answer[1024] = "";
    gsize length = 0;
    for (ssize_t got = 1; got > 0 && length < sizeof answer - 1; length += (gsize)MAX(got, 0)) {
        got = recv(fd, answer + length, sizeof answer - 1 - length, 0);
    }
    close(fd);
    return g_strdup(answer);
}

static void write_all(int fd, const char *text) {
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
}

/* Each waits in the kernel's queue, one has asked in full, one for the head, one in part, and one
 * has gone. */
static void test_waiting(void) {
    EndpointsFixture fixture = {0};
    endpoints_set_up(&fixture);
    DinvVmEndpoints *endpoints = endpoints_new(&fixture);
    int get = unix_port_connect(fixture.config.socket_path);
    int head = unix_port_connect(fixture.config.socket_path);
    int part = unix_port_connect(fixture.config.socket_path);
    write_all(get, "GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n");
    write_all(head, "HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    write_all(part, "GET /v1");
    close(unix_port_connect(fixture.config.socket_path));
    dinv_vm_refuse_clients(endpoints, REASON);
    g_autofree char *whole = read_all(get);
    g_autofree char *short_one = read_all(head);
    g_autofree char *none = read_all(part);
    g_assert_true(g_str_has_prefix(whole, "HTTP/1.1 503 Service Unavailable\r\n"));
    g_assert_true(
        g_str_has_suffix(whole, "\r\n\r\n{\"message\":\"dinv: DINV_X: \\\"y\\\" is wrong\"}\n"));
    g_assert_true(g_str_has_suffix(short_one, "\r\n\r\n"));
    g_assert_true(g_str_has_prefix(whole, short_one));
    g_assert_cmpstr(none, ==, "");
    dinv_vm_endpoints_free(endpoints);
    endpoints_tear_down(&fixture);
}

/* Nobody waits: it is over at once, and again. */
static void test_nobody(void) {
    EndpointsFixture fixture = {0};
    endpoints_set_up(&fixture);
    DinvVmEndpoints *endpoints = endpoints_new(&fixture);
    dinv_vm_refuse_clients(endpoints, REASON);
    dinv_vm_refuse_clients(endpoints, REASON);
    dinv_vm_endpoints_free(endpoints);
    endpoints_tear_down(&fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    dinv_log_start(DINV_LOG_ERROR);
    g_test_add_func("/launcher/refusal/waiting", test_waiting);
    g_test_add_func("/launcher/refusal/nobody", test_nobody);
    return g_test_run();
}

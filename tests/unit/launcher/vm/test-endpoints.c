/* SPDX-License-Identifier: MIT */
/* The endpoints without TLS: who is served where, what they are called, and ports that are
 * taken. */
#include <string.h>
#include <sys/socket.h>

#include "launcher/base/log.h"
#include "tests/unit/lib/endpoints-fixture.h"
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/unix-port.h"

static void set_up(EndpointsFixture *fixture, gconstpointer data) {
    (void)data;
    endpoints_set_up(fixture);
    dinv_log_start(DINV_LOG_ERROR);
}

static void tear_down(EndpointsFixture *fixture, gconstpointer data) {
    (void)data;
    endpoints_tear_down(fixture);
}

/* A client gets what endpoints_on_client() writes. */
static void expect_served(EndpointsFixture *fixture, int client) {
    char answer[5] = "";
    guint before = fixture->clients;
    g_assert_cmpint(client, >=, 0);
    while (fixture->clients == before) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_cmpint(recv(client, answer, sizeof answer, MSG_WAITALL), ==, 5);
    g_assert_true(memcmp(answer, "hello", sizeof answer) == 0);
    close(client);
}

static void expect_text(const DinvVmEndpoints *endpoints, const char *text) {
    g_autofree char *shown = dinv_vm_endpoints_to_string(endpoints);
    g_assert_cmpstr(shown, ==, text);
}

static void test_unix_alone(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(DinvVmEndpoints) endpoints = endpoints_new(fixture);
    struct json_object *described = dinv_vm_endpoints_describe(endpoints);
    expect_text(endpoints, fixture->config.socket_path);
    g_assert_cmpuint(json_object_array_length(described), ==, 1);
    json_object_put(described);
    dinv_vm_endpoints_serve(endpoints, endpoints_on_client, fixture);
    expect_served(fixture, unix_port_connect(fixture->config.socket_path));
}

/* The port answers on IPv4 and, where the machine has it, on IPv6; clients that come before it is
 * served wait. */
static void test_plaintext(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config.plaintext.port = tcp_port_find_free();
    g_autoptr(DinvVmEndpoints) endpoints = endpoints_new(fixture);
    g_autofree char *text = g_strdup_printf("%s, tcp://*:%u (no TLS)", fixture->config.socket_path,
                                            (guint)fixture->config.plaintext.port);
    int early = tcp_port_connect("127.0.0.1", fixture->config.plaintext.port);
    int ipv6 = tcp_port_connect("::1", fixture->config.plaintext.port);
    expect_text(endpoints, text);
    dinv_vm_endpoints_serve(endpoints, endpoints_on_client, fixture);
    expect_served(fixture, early);
    if (tcp_port_has_ipv6()) {
        expect_served(fixture, ipv6);
    }
    expect_served(fixture, unix_port_connect(fixture->config.socket_path));
}

static void test_one_address(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config.plaintext = (DinvTcpAddress){"127.0.0.1", tcp_port_find_free()};
    g_autoptr(DinvVmEndpoints) endpoints = endpoints_new(fixture);
    dinv_vm_endpoints_serve(endpoints, endpoints_on_client, fixture);
    expect_served(fixture, tcp_port_connect("127.0.0.1", fixture->config.plaintext.port));
    g_assert_cmpint(tcp_port_connect("127.0.0.2", fixture->config.plaintext.port), ==, -1);
    g_assert_cmpint(tcp_port_connect("::1", fixture->config.plaintext.port), ==, -1);
}

/* Nothing is left bound or made, and the message has the address in it. */
static void test_port_taken(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    guint16 port = 0;
    int taken = tcp_port_take(&port);
    g_autofree char *name = g_strdup_printf("tcp://*:%u", (guint)port);
    g_autoptr(GError) error = NULL;
    fixture->config.plaintext.port = port;
    g_assert_null(dinv_vm_endpoints_new(&fixture->config, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_assert_nonnull(strstr(error->message, name));
    close(taken);
}

/* All that dockerd's own options ask for, and a link to the socket, which goes with it. */
static void test_more(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *second = scratch_path(&fixture->scratch, "below/second.sock");
    g_autofree char *link = scratch_path(&fixture->scratch, "link.sock");
    DinvConfigPort port = {.address = {"127.0.0.1", tcp_port_find_free()}, .setting = "--host"};
    fixture->config.more_sockets = g_ptr_array_new();
    g_ptr_array_add(fixture->config.more_sockets, second);
    fixture->config.more_ports = g_array_new(FALSE, FALSE, sizeof port);
    g_array_append_val(fixture->config.more_ports, port);
    fixture->config.socket_link = link;
    DinvVmEndpoints *endpoints = endpoints_new(fixture);
    g_auto(GStrv) paths = dinv_vm_endpoints_list_paths(endpoints);
    g_assert_cmpuint(g_strv_length(paths), ==, 3);
    dinv_vm_endpoints_serve(endpoints, endpoints_on_client, fixture);
    expect_served(fixture, unix_port_connect(fixture->config.socket_path));
    expect_served(fixture, unix_port_connect(second));
    expect_served(fixture, unix_port_connect(link));
    expect_served(fixture, tcp_port_connect("127.0.0.1", port.address.port));
    dinv_vm_endpoints_free(endpoints);
    for (guint i = 0; paths[i] != NULL; i++) {
        g_assert_false(g_file_test(paths[i], G_FILE_TEST_IS_SYMLINK));
        g_assert_false(g_file_test(paths[i], G_FILE_TEST_EXISTS));
    }
    g_ptr_array_unref(fixture->config.more_sockets);
    g_array_unref(fixture->config.more_ports);
}

static void test_directory_in_the_way(EndpointsFixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(g_mkdir(fixture->config.socket_path, 0700), ==, 0);
    g_assert_null(dinv_vm_endpoints_new(&fixture->config, &error));
    g_assert_nonnull(strstr(error->message, "docker.sock"));
    g_assert_cmpint(g_rmdir(fixture->config.socket_path), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/endpoints/" name, EndpointsFixture, NULL, set_up, function, tear_down)
    ADD("unix-alone", test_unix_alone);
    ADD("plaintext", test_plaintext);
    ADD("one-address", test_one_address);
    ADD("port-taken", test_port_taken);
    ADD("more", test_more);
    ADD("directory-in-the-way", test_directory_in_the_way);
    return g_test_run();
}

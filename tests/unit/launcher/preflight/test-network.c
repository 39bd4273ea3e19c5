/* SPDX-License-Identifier: MIT */
/* The checks of ports to forward, and of addresses for the inner networks. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/host/network.h"
#include "launcher/preflight/checks.h"
#include "tests/unit/lib/preflight-fixture.h"

/* A bound socket of the kernel's choice of port. */
static int take_port(int type, guint16 *port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_true(type != SOCK_STREAM || listen(fd, 1) == 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void test_port_taken(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    static const char *const names[] = {"DINV_TCP_PORTS", "DINV_UDP_PORTS"};
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        DinvPortForward forward = {.protocol = (DinvProtocol)i, .guest_port = 80};
        int fd = take_port(types[i], &forward.host_port);
        g_autofree char *text =
            g_strdup_printf("%s: port %u is taken", names[i], forward.host_port);
        g_array_set_size(fixture->config->ports, 0);
        g_array_append_val(fixture->config->ports, forward);
        assert_failed(fixture, "port", text);
        close(fd);
        g_assert_true(run(fixture));
        g_assert_true(run(fixture)); /* the check itself leaves nothing behind */
    }
}

/* The first finding about the inner networks, with these outside. */
static const DinvPreflightLine *check_network(Fixture *fixture, const GArray *networks) {
    forget(fixture);
    g_array_append_vals(fixture->result.findings.outer_networks, networks->data, networks->len);
    dinv_preflight_check_engine(&fixture->host, fixture->config, &fixture->result);
    g_ptr_array_set_size(fixture->result.report->lines, 0);
    dinv_preflight_check_network(fixture->config, &fixture->result);
    return fixture->result.report->lines->pdata[0];
}

static void test_network(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvHostNetwork outer[] = {{{DINV_IPV4(172, 17, 0, 0), 16}, "eth0"}};
    g_autoptr(GArray) networks = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    g_array_append_vals(networks, outer, G_N_ELEMENTS(outer));
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = check_network(fixture, networks);
    g_assert_cmpint(line->status, ==, DINV_PREFLIGHT_OK);
    g_assert_cmpstr(line->text, ==,
                    "guest 10.0.2.0/24, docker0 172.18.0.1/16, inner networks from 172.31.0.0/16 "
                    "and 13 more");
    /* What the user wants must be free; what dinv had to take is only warned about. */
    fixture->config->bip = (DinvIpv4Network){DINV_IPV4(172, 17, 200, 1), 24};
    line = check_network(fixture, networks);
    g_assert_cmpint(line->status, ==, DINV_PREFLIGHT_FAILED);
    g_assert_cmpstr(line->text, ==,
                    "docker0's network (DINV_BIP), 172.17.200.0/24, overlaps 172.17.0.0/16 on eth0 "
                    "outside");
    g_assert_nonnull(line->remedy);
    fixture->config->bip = (DinvIpv4Network){0};
    for (guint first = 1; first < 224; first++) {
        DinvHostNetwork all = {{DINV_IPV4(first, 0, 0, 0), 8}, "eth0"};
        g_array_append_val(networks, all);
    }
    line = check_network(fixture, networks);
    g_assert_cmpint(line->status, ==, DINV_PREFLIGHT_WARNING);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("ports", test_port_taken);
    PREFLIGHT_TEST("network", test_network);
    return g_test_run();
}

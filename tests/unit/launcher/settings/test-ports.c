/* SPDX-License-Identifier: MIT */
/* Lists of ports to forward. */
#include "tests/unit/lib/settings-load.h"

static void assert_port(const DinvConfig *config, guint index, DinvProtocol protocol, guint host,
                        guint guest) {
    const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, index);
    g_assert_cmpuint(index, <, config->ports->len);
    g_assert_cmpint(forward->protocol, ==, protocol);
    g_assert_cmpuint(forward->host_port, ==, host);
    g_assert_cmpuint(forward->guest_port, ==, guest);
}

static void test_ports(void) {
    g_autoptr(Load) load = load_good(
        "DINV_TCP_PORTS=8080;5000-5001, 8443:443 65534-65535:6000-6001;|DINV_UDP_PORTS=8080", "");
    const DinvConfig *config = load->config;
    g_assert_cmpuint(config->ports->len, ==, 7);
    assert_port(config, 0, DINV_PROTOCOL_TCP, 8080, 8080);
    assert_port(config, 1, DINV_PROTOCOL_TCP, 5000, 5000);
    assert_port(config, 2, DINV_PROTOCOL_TCP, 5001, 5001);
    assert_port(config, 3, DINV_PROTOCOL_TCP, 8443, 443);
    assert_port(config, 4, DINV_PROTOCOL_TCP, 65534, 6000);
    assert_port(config, 5, DINV_PROTOCOL_TCP, 65535, 6001);
    assert_port(config, 6, DINV_PROTOCOL_UDP, 8080, 8080);
}

static void test_ports_wrong(void) {
    assert_invalid("DINV_TCP_PORTS=80a", "DINV_TCP_PORTS: \"80a\" is not a port (1-65535)");
    assert_invalid("DINV_UDP_PORTS=0", "DINV_UDP_PORTS: \"0\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=80;65536", "DINV_TCP_PORTS: \"65536\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=80:", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=:80", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=1-", "DINV_TCP_PORTS: \"\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=1:2:3", "DINV_TCP_PORTS: \"2:3\" is not a port (1-65535)");
    assert_invalid("DINV_TCP_PORTS=5010-5000",
                   "DINV_TCP_PORTS: \"5010-5000\" is a range that ends before it begins");
    assert_invalid("DINV_TCP_PORTS=5000-5010:6000-6009",
                   "DINV_TCP_PORTS: \"5000-5010:6000-6009\" has 11 ports outside and 10 inside");
    assert_conflict("DINV_TCP_PORTS=80;80", "DINV_TCP_PORTS: port 80 is in both \"80\" and \"80\"");
    assert_conflict("DINV_TCP_PORTS=5000-5010;7;5005-6000",
                    "DINV_TCP_PORTS: port 5005 is in both \"5000-5010\" and \"5005-6000\"");
    assert_invalid("DINV_TCP_PORTS=1-1025", "DINV_TCP_PORTS: these are more than 1024 ports; "
                                            "ports that containers publish need not be named here");
}

static void test_ports_many(void) {
    g_autoptr(GString) text = g_string_new("DINV_TCP_PORTS=");
    g_autoptr(Load) range = load_good("DINV_TCP_PORTS=1-1024", "");
    g_autoptr(Load) two_outside = load_good("DINV_TCP_PORTS=80;8080:80", "");
    g_autoptr(Load) two_of_udp = load_good("DINV_UDP_PORTS=53;5353:53", "");
    for (guint port = 1; port <= 1025; port++) {
        g_string_append_printf(text, "%u;", port);
    }
    g_autoptr(Load) items = load_new(text->str, "");
    g_assert_error(items->error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID);
    g_assert_cmpuint(range->config->ports->len, ==, 1024);
    g_assert_cmpuint(two_outside->config->ports->len, ==, 2);
    g_assert_cmpuint(two_of_udp->config->ports->len, ==, 2);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/ports/good", test_ports);
    g_test_add_func("/settings/ports/wrong", test_ports_wrong);
    g_test_add_func("/settings/ports/many", test_ports_many);
    return g_test_run();
}

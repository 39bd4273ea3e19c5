/* SPDX-License-Identifier: MIT */
/* Where the engine answers over TCP, and the networks. */
#include "tests/unit/lib/settings-load.h"

/* As docker:dind has it: a directory, set but empty, not set. */
static void test_tcp(void) {
    g_autoptr(Load) none = load_good("", "");
    g_autoptr(Load) tls =
        load_good("DOCKER_TLS_CERTDIR=/certs/|"
                  "DOCKER_TLS_SAN=DNS:a.example, IP:192.0.2.7,IP:::1,,DNS:*.b.example",
                  "");
    g_autoptr(Load) plaintext = load_good("DOCKER_TLS_CERTDIR=", "");
    g_autoptr(Load) flag = load_good("", "--tls-certdir=|--plaintext-port|127.0.0.1:4000");
    g_autoptr(Load) port = load_good("PORT=4444", "");
    g_autoptr(Load) both = load_good("PORT=|DINV_TLS_CERTDIR=/c|DINV_TLS_PORT=[::1]:1234|"
                                     "DINV_PLAINTEXT_PORT=2375",
                                     "");
    g_assert_null(none->config->tls_directory);
    g_assert_cmpuint(none->config->tls.port, ==, 0);
    g_assert_cmpuint(none->config->plaintext.port, ==, 0);
    g_assert_cmpstr(tls->config->tls_directory, ==, "/certs");
    g_assert_cmpstr(tls->config->tls.host, ==, "");
    g_assert_cmpuint(tls->config->tls.port, ==, 2376);
    g_assert_cmpuint(tls->config->plaintext.port, ==, 0);
    g_assert_cmpuint(g_strv_length(tls->config->tls_names), ==, 4);
    g_assert_cmpstr(tls->config->tls_names[2], ==, "IP:::1");
    g_assert_null(plaintext->config->tls_directory);
    g_assert_cmpuint(plaintext->config->tls.port, ==, 0);
    g_assert_cmpuint(plaintext->config->plaintext.port, ==, 2375);
    g_assert_cmpstr(flag->config->plaintext.host, ==, "127.0.0.1");
    g_assert_cmpuint(flag->config->plaintext.port, ==, 4000);
    g_assert_cmpuint(port->config->plaintext.port, ==, 4444);
    g_assert_cmpuint(port->config->tls.port, ==, 0);
    g_assert_cmpstr(both->config->tls.host, ==, "::1");
    g_assert_cmpuint(both->config->tls.port, ==, 1234);
    g_assert_cmpuint(both->config->plaintext.port, ==, 2375);
}

static void test_bad_tcp(void) {
    static const char *const addresses[] = {
        "0",       "65536",          "x",       "-1",      ":2375",
        "::1:80",  "[127.0.0.1]:80", "[::1]",   "[::1]:",  "[]:80",
        "host:80", "127.0.0.1:80 ",  "[::1:80", "::1]:80", "127.1:80"};
    static const char *const names[] = {
        "a.example", "DNS:",         "DNS:a b",        "IP:a",  "IP:",
        "DNS:*.*.x", "URI:http://x", "DNS:\xc3\xa4.x", "dns:a", "IP:127.0.0.1/8"};
    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autofree char *variable = g_strconcat("DINV_PLAINTEXT_PORT=", addresses[i], NULL);
        g_autofree char *message =
            g_strdup_printf("DINV_PLAINTEXT_PORT: \"%s\" is not a port (1-65535) or ADDRESS:PORT, "
                            "such as 127.0.0.1:2375 or [::1]:2375",
                            addresses[i]);
        assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *variable = g_strconcat("DOCKER_TLS_SAN=DNS:x,", names[i], NULL);
        g_autofree char *message =
            g_strdup_printf("DOCKER_TLS_SAN: \"%s\" is neither DNS:NAME nor IP:ADDRESS", names[i]);
        assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
    }
    assert_refused("DOCKER_TLS_CERTDIR=|DINV_TCP_PORTS=2370-2380", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "DINV_TCP_PORTS: port 2375 is where the engine answers (DINV_PLAINTEXT_PORT)");
    assert_refused("DOCKER_TLS_CERTDIR=/c|DINV_TCP_PORTS=2376", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "DINV_TCP_PORTS: port 2376 is where the engine answers (DINV_TLS_PORT)");
    assert_refused("DOCKER_TLS_CERTDIR=/c|PORT=2376", "", DINV_SETTINGS_ERROR_CONFLICT,
                   "port 2376 is both DINV_TLS_PORT and DINV_PLAINTEXT_PORT");
    g_autoptr(Load) udp = load_good("DOCKER_TLS_CERTDIR=/c|DINV_UDP_PORTS=2376", "");
    g_autoptr(Load) unused = load_good("DINV_TCP_PORTS=2376", "");
    g_assert_cmpuint(udp->config->tls.port, ==, 2376);
    g_assert_cmpuint(unused->config->ports->len, ==, 1);
}

static void test_networks(void) {
    g_autoptr(Load) load = load_good("DINV_SUBNET=10.9.0.0/27", "--bip=172.30.255.254/16");
    g_autoptr(Load) unset = load_good("", "");
    g_assert_cmphex(load->config->subnet.address, ==, 0x0a090000);
    g_assert_cmpuint(load->config->subnet.prefix, ==, 27);
    g_assert_cmphex(load->config->bip.address, ==, 0xac1efffe);
    g_assert_cmpuint(load->config->bip.prefix, ==, 16);
    g_assert_cmpuint(unset->config->subnet.prefix, ==, 0);
    g_assert_cmpuint(unset->config->bip.prefix, ==, 0);
    assert_invalid("DINV_SUBNET=10.9.0.0",
                   "DINV_SUBNET: \"10.9.0.0\" is not an IPv4 network of prefix 8 to 27 "
                   "(such as 10.0.2.0/24)");
    assert_invalid("DINV_SUBNET=10.9.0.0/28",
                   "DINV_SUBNET: \"10.9.0.0/28\" is not an IPv4 network of prefix 8 to 27 "
                   "(such as 10.0.2.0/24)");
    assert_invalid("DINV_SUBNET=10.9.0.1/24",
                   "DINV_SUBNET: \"10.9.0.1/24\" is the address of a host, "
                   "its network is 10.9.0.0/24");
    assert_invalid("DINV_BIP=fd00::1/64",
                   "DINV_BIP: \"fd00::1/64\" is not an IPv4 address with a prefix of 8 to 29 "
                   "(such as 172.30.0.1/16)");
    assert_invalid("DINV_BIP=172.30.0.0/16",
                   "DINV_BIP: \"172.30.0.0/16\" is no address that a host can have, "
                   "the first of that network is 172.30.0.1/16");
    assert_invalid("DINV_BIP=172.30.0.255/24",
                   "DINV_BIP: \"172.30.0.255/24\" is no address that a host can have, "
                   "the first of that network is 172.30.0.1/24");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/tcp", test_tcp);
    g_test_add_func("/settings/bad-tcp", test_bad_tcp);
    g_test_add_func("/settings/networks/good", test_networks);
    return g_test_run();
}

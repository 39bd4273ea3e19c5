/* SPDX-License-Identifier: MIT */
/* The NAT to the loopback with a fake of iptables-restore; that the rules work is seen in
 * tests/integration/test-listeners.py. */
#include "guest/network/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/scratch.h"

#define SWITCH "sys/net/ipv4/conf/eth0/route_localnet"
#define BEGIN  "*nat\n:DINV-LOOPBACK - [0:0]\n"
#define RULE(protocol, port)                                                                       \
    "-A DINV-LOOPBACK -s 10.0.2.2/32 -d 10.0.2.15/32 -i eth0 -p " protocol " -m " protocol         \
    " --dport " port " -j DNAT --to-destination 127.0.0.1\n"
#define JUMPS "-I PREROUTING -j DINV-LOOPBACK\n"
#define END   "COMMIT\n"

typedef struct {
    Harness harness;
    Scratch scratch;
    char *program;
    DinvNetworkLoopback *loopback;
    const char *expected;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    g_autofree char *script =
        g_strdup_printf("#!/bin/sh\ncd '%s'\ncat >>log\n", fixture->scratch.path);
    scratch_write(&fixture->scratch, "restore", script);
    fixture->program = scratch_path(&fixture->scratch, "restore");
    g_assert_cmpint(chmod(fixture->program, 0755), ==, 0);
    fixture->loopback =
        dinv_network_loopback_new(fixture->harness.loop, fixture->program, fixture->scratch.path);
    g_assert_nonnull(fixture->loopback);
    DinvNetworkConfiguration network = {.present = true};
    g_assert_cmpint(inet_pton(AF_INET, "10.0.2.15", &network.address), ==, 1);
    g_assert_cmpint(inet_pton(AF_INET, "10.0.2.2", &network.gateway), ==, 1);
    dinv_network_loopback_configure(fixture->loopback, &network);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_network_loopback_free(fixture->loopback);
    g_free(fixture->program);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}

static char *read_file(Fixture *fixture, const char *name) {
    g_autofree char *path = scratch_path(&fixture->scratch, name);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static bool has_log(void *user) {
    Fixture *fixture = user;
    g_autofree char *log = read_file(fixture, "log");
    return g_str_equal(log, fixture->expected);
}

static void test_ports(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvNetworkLoopbackPort ports[] = {{false, 3000}, {true, 123}};
    scratch_write(&fixture->scratch, SWITCH, "0\n");
    g_assert_cmpint(dinv_network_loopback_set(fixture->loopback, ports, 2), ==, 0);
    fixture->expected = BEGIN RULE("tcp", "3000") RULE("udp", "123") JUMPS END;
    harness_run_until(&fixture->harness, has_log, fixture);
    g_autofree char *state = read_file(fixture, SWITCH);
    g_assert_cmpstr(state, ==, "1\n");
    g_assert_cmpint(dinv_network_loopback_set(fixture->loopback, NULL, 0), ==, 0);
    fixture->expected = BEGIN RULE("tcp", "3000") RULE("udp", "123") JUMPS END BEGIN END;
    harness_run_until(&fixture->harness, has_log, fixture);
}

/* Without any port nothing is changed; without the switch the rules would lead nowhere. */
static void test_nothing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvNetworkLoopbackPort port = {false, 3000};
    g_assert_cmpint(dinv_network_loopback_set(fixture->loopback, NULL, 0), ==, 0);
    g_assert_cmpint(dinv_network_loopback_set(fixture->loopback, &port, 1), ==, -ENOENT);
    g_autofree char *log = read_file(fixture, "log");
    g_assert_cmpstr(log, ==, "");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/guest/network/loopback/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("ports", test_ports);
    ADD("nothing", test_nothing);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The NAT of names with a fake of iptables-restore; that the rules work is seen in
 * tests/integration/test-names.py. */
#include "guest/network/names.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/scratch.h"

#define RULES(port)                                                                                \
    "-A DINV-NAMES -d 10.0.2.3/32 -p udp -m udp --dport 53 -j DNAT --to-destination "              \
    "10.0.2.2:" port "\n"                                                                          \
    "-A DINV-NAMES -d 10.0.2.3/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination "              \
    "10.0.2.2:" port "\n"
#define BEGIN "*nat\n:DINV-NAMES - [0:0]\n"
#define JUMPS "-I OUTPUT -j DINV-NAMES\n-I PREROUTING -j DINV-NAMES\n"
#define END   "COMMIT\n"

typedef struct {
    Harness harness;
    Scratch scratch;
    char *program;
    DinvNetworkNames *names;
    DinvNetworkConfiguration network;
} Fixture;

static char *dns[] = {(char *)"10.0.2.3", (char *)"fec0::3", NULL};

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    /* Appends its arguments and input to `log`; fails while there is a file `broken`. */
    g_autofree char *script = g_strdup_printf(
        "#!/bin/sh\ncd '%s'\n[ -e broken ] && exit 3\necho \"$@\" >>log\ncat >>log\n",
        fixture->scratch.path);
    scratch_write(&fixture->scratch, "restore", script);
    fixture->program = scratch_path(&fixture->scratch, "restore");
    g_assert_cmpint(chmod(fixture->program, 0755), ==, 0);
    fixture->names = dinv_network_names_new(fixture->harness.loop, fixture->program);
    g_assert_nonnull(fixture->names);
    fixture->network =
        (DinvNetworkConfiguration){.present = true, .dns = dns, .resolver_port = 61001};
    g_assert_cmpint(inet_pton(AF_INET, "10.0.2.2", &fixture->network.resolver), ==, 1);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_network_names_free(fixture->names);
    g_free(fixture->program);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}

/* Whether one runs, or has ended and was not collected yet. */
static bool is_busy(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static bool is_idle(void *user) {
    (void)user;
    return !is_busy();
}

static void redirect(Fixture *fixture) {
    g_assert_cmpint(dinv_network_names_redirect(fixture->names, &fixture->network), ==, 0);
}

/* What the fake was given since the last time. */
static void assert_log(Fixture *fixture, const char *expected) {
    g_autofree char *path = scratch_path(&fixture->scratch, "log");
    g_autofree char *log = NULL;
    harness_run_until(&fixture->harness, is_idle, fixture);
    (void)g_file_get_contents(path, &log, NULL, NULL);
    g_assert_cmpstr(log != NULL ? log : "", ==, expected);
    (void)g_remove(path);
}

#define CALL "--noflush --wait\n"

/* Configured again, with another port, and then without a resolver: the jumps are set once. */
static void test_jumps_once(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    redirect(fixture);
    assert_log(fixture, CALL BEGIN RULES("61001") JUMPS END);
    fixture->network.resolver_port = 61002;
    redirect(fixture);
    assert_log(fixture, CALL BEGIN RULES("61002") END);
    fixture->network.resolver_port = 0;
    redirect(fixture);
    assert_log(fixture, CALL BEGIN END);
}

static void test_without_resolver(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->network.resolver_port = 0;
    redirect(fixture);
    g_assert_false(is_busy());
    assert_log(fixture, "");
}

/* The last of those that come while one runs is set when it has ended. */
static void test_while_busy(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    redirect(fixture);
    for (uint16_t port = 61002; port < 61005; port++) {
        g_assert_true(is_busy());
        fixture->network.resolver_port = port;
        redirect(fixture);
    }
    assert_log(fixture, CALL BEGIN RULES("61001") JUMPS END CALL BEGIN RULES("61004") END);
}

/* What failed has set nothing: the next one sets the jumps. */
static void test_failure(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "broken", "");
    redirect(fixture);
    assert_log(fixture, "");
    g_autofree char *broken = scratch_path(&fixture->scratch, "broken");
    g_assert_cmpint(g_remove(broken), ==, 0);
    redirect(fixture);
    assert_log(fixture, CALL BEGIN RULES("61001") JUMPS END);
    g_assert_cmpint(g_remove(fixture->program), ==, 0);
    g_assert_cmpint(dinv_network_names_redirect(fixture->names, &fixture->network), ==, -ENOENT);
    g_assert_false(is_busy());
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/guest/names/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("jumps-once", test_jumps_once);
    ADD("without-resolver", test_without_resolver);
    ADD("while-busy", test_while_busy);
    ADD("failure", test_failure);
    return g_test_run();
}

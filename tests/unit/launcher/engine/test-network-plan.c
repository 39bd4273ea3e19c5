/* SPDX-License-Identifier: MIT */
/* The networks that are chosen around those in use outside. */
#include "launcher/engine/network-plan.h"

#include <string.h>

static DinvIpv4Network network(const char *text) {
    DinvIpv4Network parsed;
    g_assert_true(dinv_ipv4_network_parse(text, &parsed));
    return parsed;
}

static const DinvIpv4Network none = {0};

static GArray *networks(const char *first, ...) {
    GArray *list = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    va_list rest;
    va_start(rest, first);
    for (const char *text = first; text != NULL; text = va_arg(rest, const char *)) {
        DinvHostNetwork item = {.network = network(text), .device = "eth0"};
        g_array_append_val(list, item);
    }
    va_end(rest);
    return list;
}

/* The property that everything hangs on: nothing chosen overlaps anything outside, or another. */
static void assert_disjoint(const DinvEngineNetworkPlan *plan, const GArray *outer) {
    g_autoptr(GArray) chosen = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    g_array_append_val(chosen, plan->slirp);
    g_array_append_val(chosen, plan->bridge);
    for (guint i = 0; i < plan->pools->len; i++) {
        g_array_append_val(chosen, g_array_index(plan->pools, DinvEngineAddressPool, i).network);
    }
    for (guint i = 0; i < chosen->len; i++) {
        const DinvIpv4Network *one = &g_array_index(chosen, DinvIpv4Network, i);
        for (guint j = 0; j < outer->len; j++) {
            g_assert_false(
                dinv_ipv4_network_overlaps(one, &g_array_index(outer, DinvHostNetwork, j).network));
        }
        for (guint j = 0; j < i; j++) {
            g_assert_false(
                dinv_ipv4_network_overlaps(one, &g_array_index(chosen, DinvIpv4Network, j)));
        }
    }
    /* Some networks can be created, whatever is outside. */
    guint pieces = 0;
    for (guint i = 0; i < plan->pools->len; i++) {
        const DinvEngineAddressPool *pool = &g_array_index(plan->pools, DinvEngineAddressPool, i);
        g_assert_cmpuint(pool->piece, >=, pool->network.prefix);
        pieces += 1u << (pool->piece - pool->network.prefix);
    }
    g_assert_cmpuint(pieces, >=, 8);
    for (guint part = DINV_ENGINE_NETWORK_PLAN_SLIRP; part <= DINV_ENGINE_NETWORK_PLAN_POOLS;
         part++) {
        g_autoptr(GPtrArray) conflicts = dinv_engine_network_plan_list_conflicts(plan, part, outer);
        g_assert_cmpuint(conflicts->len, ==, 0);
    }
}

static void test_overlaps(void) {
    DinvIpv4Network wide = network("172.16.0.0/12");
    DinvIpv4Network inside = network("172.17.3.0/24");
    DinvIpv4Network beside = network("172.32.0.0/16");
    DinvIpv4Network everything = {0};
    g_assert_true(dinv_ipv4_network_overlaps(&wide, &inside));
    g_assert_true(dinv_ipv4_network_overlaps(&inside, &wide));
    g_assert_false(dinv_ipv4_network_overlaps(&wide, &beside));
    g_assert_true(dinv_ipv4_network_overlaps(&everything, &beside));
}

static void test_nothing_outside(void) {
    g_autoptr(GArray) outer = networks(NULL);
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_new(outer, &none, &none, NULL);
    g_autofree char *slirp = dinv_ipv4_network_to_string(&plan->slirp);
    g_autofree char *docker0 = dinv_ipv4_network_host_to_string(&plan->bridge, 1);
    g_assert_cmpstr(slirp, ==, "10.0.2.0/24");
    g_assert_cmpstr(docker0, ==, "172.17.0.1");
    assert_disjoint(plan, outer);
}

static void test_docker_outside(void) {
    g_autoptr(GArray) outer = networks("172.17.0.0/16", NULL);
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_new(outer, &none, &none, NULL);
    g_autofree char *docker0 = dinv_ipv4_network_host_to_string(&plan->bridge, 1);
    g_assert_cmpstr(docker0, ==, "172.18.0.1");
    assert_disjoint(plan, outer);
}

static void test_collisions(void) {
    static const char *const cases[] = {"10.0.2.0/24",    "10.0.0.0/8",       "172.16.0.0/12",
                                        "192.168.0.0/16", "192.168.191.0/24", "172.31.191.7/32",
                                        "100.64.0.0/10",  "198.18.0.0/15",    "172.24.0.0/13"};
    /* Each alone, each pair, and each three. */
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint j = i; j < G_N_ELEMENTS(cases); j++) {
            for (guint k = j; k < G_N_ELEMENTS(cases); k++) {
                g_autoptr(GArray) outer = networks(cases[i], cases[j], cases[k], NULL);
                g_autoptr(DinvEngineNetworkPlan) plan =
                    dinv_engine_network_plan_new(outer, &none, &none, NULL);
                assert_disjoint(plan, outer);
            }
        }
    }
}

/* Networks outside all over the private space. */
static void test_random(void) {
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    for (guint i = 0; i < 300; i++) {
        static const guint32 spaces[] = {DINV_IPV4(10, 0, 0, 0), DINV_IPV4(172, 16, 0, 0),
                                         DINV_IPV4(192, 168, 0, 0)};
        static const guint prefixes[] = {8, 12, 16};
        guint space = (guint)g_test_rand_int_range(0, 3);
        DinvIpv4Network host = {spaces[space] + ((guint32)g_test_rand_int() >> prefixes[space]),
                                (guint)g_test_rand_int_range(18, 33)};
        DinvHostNetwork item = {.network = dinv_ipv4_network_of(&host), .device = "eth0"};
        g_array_append_val(outer, item);
    }
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_new(outer, &none, &none, NULL);
    assert_disjoint(plan, outer);
}

static void test_wanted(void) {
    g_autoptr(GArray) outer = networks("172.30.0.0/16", "10.0.0.0/8", NULL);
    DinvIpv4Network subnet = network("172.18.5.0/24");
    DinvIpv4Network bip = network("172.17.9.1/24");
    g_autoptr(DinvEngineNetworkPlan) plan =
        dinv_engine_network_plan_new(outer, &subnet, &bip, NULL);
    g_autofree char *text = dinv_engine_network_plan_to_string(plan);
    g_assert_cmpstr(text, ==,
                    "guest 172.18.5.0/24, docker0 172.17.9.1/24, inner networks from "
                    "172.31.0.0/16 and 12 more");
    assert_disjoint(plan, outer);
}

static void test_conflicts(void) {
    g_autoptr(GArray) outer = networks("172.30.0.0/16", "10.0.0.0/8", NULL);
    DinvIpv4Network subnet = network("10.7.0.0/24");
    DinvIpv4Network bip = network("10.7.0.1/16");
    g_autoptr(DinvEngineNetworkPlan) plan =
        dinv_engine_network_plan_new(outer, &subnet, &bip, NULL);
    g_autoptr(GPtrArray) slirp =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_SLIRP, outer);
    g_autoptr(GPtrArray) bridge =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_BRIDGE, outer);
    g_autoptr(GPtrArray) pools =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_POOLS, outer);
    g_assert_cmpuint(slirp->len, ==, 2);
    g_assert_cmpstr(slirp->pdata[0], ==,
                    "the guest's network (DINV_SUBNET), 10.7.0.0/24, overlaps 10.0.0.0/8 on eth0 "
                    "outside");
    g_assert_cmpstr(slirp->pdata[1], ==,
                    "the guest's network (DINV_SUBNET), 10.7.0.0/24, overlaps docker0's "
                    "(DINV_BIP), 10.7.0.0/16");
    g_assert_cmpuint(bridge->len, ==, 1);
    g_assert_cmpuint(pools->len, ==, 0);
}

/* Also dockerd's own option counts. */
static void test_dockerd_bip(void) {
    static const struct {
        char *const args[3];
        const char *docker0;
    } cases[] = {
        {{(char *)"--bip=10.9.0.1/24", NULL}, "docker0 10.9.0.1/24"},
        {{(char *)"--bip", (char *)"10.9.0.2/24", NULL}, "docker0 10.9.0.2/24"},
        {{(char *)"--bip", NULL}, "docker0 172.17.0.1/16"},
        {{(char *)"--bip=nonsense", NULL}, "docker0 172.17.0.1/16"},
    };
    g_autoptr(GArray) outer = networks(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const DinvConfig config = {.dockerd_args = (char **)cases[i].args,
                                   .config_dir = (char *)"/nowhere"};
        char *const no_variables[] = {NULL};
        g_autoptr(DinvEngineConfig) engine =
            dinv_engine_config_read(&config, "/nowhere", no_variables, NULL);
        g_autoptr(DinvEngineNetworkPlan) plan =
            dinv_engine_network_plan_for(&config, engine, outer);
        g_autofree char *text = dinv_engine_network_plan_to_string(plan);
        g_assert_nonnull(strstr(text, cases[i].docker0));
    }
}

/* The user's pools are the pools, and all else keeps clear of them. */
static void test_own_pools(void) {
    g_autoptr(GArray) outer = networks("172.17.0.0/16", NULL);
    g_autoptr(GArray) pools = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    DinvIpv4Network first = network("10.0.0.0/8");
    DinvIpv4Network second = network("172.16.0.0/12");
    g_array_append_val(pools, first);
    g_array_append_val(pools, second);
    g_autoptr(DinvEngineNetworkPlan) plan =
        dinv_engine_network_plan_new(outer, &none, &none, pools);
    g_autofree char *text = dinv_engine_network_plan_to_string(plan);
    g_assert_true(plan->has_own_pools);
    g_assert_cmpstr(text, ==,
                    "guest 192.168.128.0/24, docker0 100.64.0.1/16, inner networks from 10.0.0.0/8 "
                    "and 1 more");
    g_autoptr(GPtrArray) conflicts =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_POOLS, outer);
    g_assert_cmpuint(conflicts->len, ==, 1);
}

/* All of IPv4 in use: the defaults, and they are known to overlap. */
static void test_nothing_free(void) {
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    for (guint i = 1; i < 224; i++) {
        DinvHostNetwork item = {.network = {DINV_IPV4(i, 0, 0, 0), 8}, .device = "eth0"};
        g_array_append_val(outer, item);
    }
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_new(outer, &none, &none, NULL);
    g_autoptr(GPtrArray) slirp =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_SLIRP, outer);
    g_autoptr(GPtrArray) bridge =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_BRIDGE, outer);
    g_autofree char *text = dinv_engine_network_plan_to_string(plan);
    g_assert_cmpstr(text, ==, "guest 10.0.2.0/24, docker0 172.17.0.1/16");
    g_assert_cmpuint(slirp->len, ==, 1);
    g_assert_cmpuint(bridge->len, ==, 1);
}

static void test_parse(void) {
    static const char *const wrong[] = {
        "10.0.2.0",  "10.0.2.0/",   "10.0.2/24",    "10.0.2.0/33", "10.0.2.0/0",   "10.0.2.0/+24",
        "0.0.0.0/8", "127.0.0.1/8", "224.0.0.0/24", "::1/64",      "10.0.2.0/24 ", ""};
    DinvIpv4Network parsed = {7, 7};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_false(dinv_ipv4_network_parse(wrong[i], &parsed));
        g_assert_cmpuint(parsed.address, ==, 7);
    }
    g_assert_true(dinv_ipv4_network_parse("10.0.2.15/24", &parsed));
    g_assert_cmphex(parsed.address, ==, 0x0a00020f);
    g_assert_cmpuint(parsed.prefix, ==, 24);
}

static void test_routes(void) {
    static const char routes[] =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth1\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        /* A VPN's two halves of a default route. */
        "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
        "tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
        "not a route\n";
    g_autoptr(GArray) without = dinv_host_network_list("");
    g_autoptr(GArray) with = dinv_host_network_list(routes);
    /* 10.200.0.0/16 is new; the default route and the bad line are left out. */
    g_assert_cmpuint(with->len, ==, without->len + 1);
    const DinvHostNetwork *last = &g_array_index(with, DinvHostNetwork, with->len - 1);
    g_autofree char *added = dinv_ipv4_network_to_string(&last->network);
    g_assert_cmpstr(added, ==, "10.200.0.0/16");
    g_assert_cmpstr(last->device, ==, "eth1");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/network-plan/overlaps", test_overlaps);
    g_test_add_func("/launcher/network-plan/nothing-outside", test_nothing_outside);
    g_test_add_func("/launcher/network-plan/docker-outside", test_docker_outside);
    g_test_add_func("/launcher/network-plan/collisions", test_collisions);
    g_test_add_func("/launcher/network-plan/random", test_random);
    g_test_add_func("/launcher/network-plan/wanted", test_wanted);
    g_test_add_func("/launcher/network-plan/conflicts", test_conflicts);
    g_test_add_func("/launcher/network-plan/dockerd-bip", test_dockerd_bip);
    g_test_add_func("/launcher/network-plan/own-pools", test_own_pools);
    g_test_add_func("/launcher/network-plan/nothing-free", test_nothing_free);
    g_test_add_func("/launcher/network-plan/parse", test_parse);
    g_test_add_func("/launcher/network-plan/routes", test_routes);
    return g_test_run();
}

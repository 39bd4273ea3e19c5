/* SPDX-License-Identifier: MIT */
#include "launcher/network-plan.h"

#include <stdio.h>

static DinvNetwork network(const char *text) {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    unsigned prefix = 0;
    g_assert_cmpint(sscanf(text, "%u.%u.%u.%u/%u", &a, &b, &c, &d, &prefix), ==, 5);
    return (DinvNetwork){a << 24 | b << 16 | c << 8 | d, prefix};
}

static GArray *networks(const char *first, ...) {
    GArray *list = g_array_new(FALSE, FALSE, sizeof(DinvNetwork));
    va_list rest;
    va_start(rest, first);
    for (const char *text = first; text != NULL; text = va_arg(rest, const char *)) {
        DinvNetwork item = network(text);
        g_array_append_val(list, item);
    }
    va_end(rest);
    return list;
}

/* The property that everything hangs on: nothing chosen overlaps anything outside, or another. */
static void assert_disjoint(const DinvNetworkPlan *plan, const GArray *outer) {
    g_autoptr(GArray) chosen = g_array_new(FALSE, FALSE, sizeof(DinvNetwork));
    g_array_append_val(chosen, plan->slirp);
    g_array_append_val(chosen, plan->bridge);
    g_array_append_vals(chosen, plan->pools->data, plan->pools->len);
    for (guint i = 0; i < chosen->len; i++) {
        const DinvNetwork *one = &g_array_index(chosen, DinvNetwork, i);
        for (guint j = 0; j < outer->len; j++) {
            g_assert_false(dinv_network_overlaps(one, &g_array_index(outer, DinvNetwork, j)));
        }
        for (guint j = 0; j < i; j++) {
            g_assert_false(dinv_network_overlaps(one, &g_array_index(chosen, DinvNetwork, j)));
        }
    }
    g_assert_cmpuint(plan->pools->len, >, 0);
}

static void test_overlaps(void) {
    DinvNetwork wide = network("172.16.0.0/12");
    DinvNetwork inside = network("172.17.3.0/24");
    DinvNetwork beside = network("172.32.0.0/16");
    DinvNetwork everything = network("0.0.0.0/0");
    g_assert_true(dinv_network_overlaps(&wide, &inside));
    g_assert_true(dinv_network_overlaps(&inside, &wide));
    g_assert_false(dinv_network_overlaps(&wide, &beside));
    g_assert_true(dinv_network_overlaps(&everything, &beside));
}

static void test_nothing_outside(void) {
    g_autoptr(GArray) outer = networks(NULL);
    g_autoptr(DinvNetworkPlan) plan = dinv_network_plan_new(outer);
    g_autofree char *slirp = dinv_network_to_string(&plan->slirp);
    g_autofree char *docker0 = dinv_network_host_to_string(&plan->bridge, 1);
    g_assert_cmpstr(slirp, ==, "10.0.2.0/24");
    g_assert_cmpstr(docker0, ==, "172.17.0.1");
    assert_disjoint(plan, outer);
}

static void test_docker_outside(void) {
    g_autoptr(GArray) outer = networks("172.17.0.0/16", NULL);
    g_autoptr(DinvNetworkPlan) plan = dinv_network_plan_new(outer);
    g_autofree char *docker0 = dinv_network_host_to_string(&plan->bridge, 1);
    g_assert_cmpstr(docker0, ==, "172.18.0.1");
    assert_disjoint(plan, outer);
}

static void test_collisions(void) {
    static const char *const cases[] = {"10.0.2.0/24",    "10.0.0.0/8",       "172.16.0.0/12",
                                        "192.168.0.0/16", "192.168.191.0/24", "172.31.191.7/32"};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) outer = networks(cases[i], NULL);
        g_autoptr(DinvNetworkPlan) plan = dinv_network_plan_new(outer);
        assert_disjoint(plan, outer);
    }
    g_autoptr(GArray) all = networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", NULL);
    g_autoptr(DinvNetworkPlan) plan = dinv_network_plan_new(all);
    assert_disjoint(plan, all);
}

static void test_routes(void) {
    static const char routes[] =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "not a route\n";
    g_autoptr(GArray) without = dinv_network_list_outer(NULL);
    g_autoptr(GArray) with = dinv_network_list_outer(routes);
    /* 10.200.0.0/16 is new; the default route and the bad line are left out. */
    g_assert_cmpuint(with->len, ==, without->len + 1);
    g_autofree char *added =
        dinv_network_to_string(&g_array_index(with, DinvNetwork, with->len - 1));
    g_assert_cmpstr(added, ==, "10.200.0.0/16");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/network-plan/overlaps", test_overlaps);
    g_test_add_func("/launcher/network-plan/nothing-outside", test_nothing_outside);
    g_test_add_func("/launcher/network-plan/docker-outside", test_docker_outside);
    g_test_add_func("/launcher/network-plan/collisions", test_collisions);
    g_test_add_func("/launcher/network-plan/routes", test_routes);
    return g_test_run();
}

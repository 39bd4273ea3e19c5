/* SPDX-License-Identifier: MIT */
/* What is told, and how often. That the kernel's events arrive is seen in tests/container. */
#include "launcher/network/watch.h"

static void test_told_once(void) {
    const DinvConfig config = {0};
    const DinvHostNetwork joined = {{DINV_IPV4(172, 20, 3, 0), 24}, "eth1"};
    const DinvHostNetwork harmless = {{DINV_IPV4(203, 0, 113, 0), 24}, "eth2"};
    g_autoptr(GArray) outer = dinv_host_network_list(NULL);
    g_autoptr(DinvEngineNetworkPlan) plan = dinv_engine_network_plan_for(&config, NULL, outer);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvNetworkWatch) watch = dinv_network_watch_new(plan, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, 0);
    g_array_append_val(outer, harmless);
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, 0);
    g_array_append_val(outer, joined); /* in a pool, if it is not outside already */
    g_autoptr(GPtrArray) conflicts =
        dinv_engine_network_plan_list_conflicts(plan, DINV_ENGINE_NETWORK_PLAN_POOLS, outer);
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, conflicts->len);
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, 0);
    g_array_set_size(outer, 0);
    DinvHostNetwork over_docker0 = {dinv_ipv4_network_of(&plan->bridge), "eth3"};
    g_array_append_val(outer, over_docker0);
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, 1);
    /* It goes, and comes again on another device. */
    g_array_index(outer, DinvHostNetwork, 0).device[3] = '4';
    g_assert_cmpuint(dinv_network_watch_compare(watch, outer), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/network-watch/told-once", test_told_once);
    return g_test_run();
}

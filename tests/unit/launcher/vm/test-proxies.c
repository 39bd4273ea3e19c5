/* SPDX-License-Identifier: MIT */
/* The engine's environment, from the proxies outside and the network plan. */
#include "launcher/vm/proxies.h"

#include "launcher/engine/proxies.h"

#define INNER "host.docker.internal,10.0.2.0/24,172.17.0.0/16"

/* A plan without pools, as the user may have it. */
static char **for_engine(char *const *environment) {
    const DinvIpv4Network none = {0};
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvHostNetwork));
    g_autoptr(GArray) pools = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    g_autoptr(DinvEngineNetworkPlan) plan =
        dinv_engine_network_plan_new(outer, &none, &none, pools);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) found = dinv_engine_proxies_find(environment, &error);
    g_assert_no_error(error);
    return dinv_vm_proxies_for_engine(found, plan);
}

static void assert_engine(const char *environment, const char *expected) {
    g_auto(GStrv) variables = g_strsplit(environment, "|", -1);
    g_auto(GStrv) result = for_engine(variables);
    g_autofree char *text = g_strjoinv("|", result);
    g_assert_cmpstr(text, ==, expected);
}

static void test_for_engine(void) {
    assert_engine("PATH=/bin", "");
    assert_engine("HTTP_PROXY=", "");
    assert_engine("NO_PROXY=a.example", "");
    assert_engine("https_proxy=http://p:1|HTTP_PROXY=localhost:2|FTP_PROXY=x",
                  "HTTP_PROXY=10.0.2.2:2|https_proxy=http://p:1|NO_PROXY=" INNER);
    assert_engine("http_proxy=http://p:1|no_proxy=a.example",
                  "http_proxy=http://p:1|no_proxy=a.example," INNER);
    assert_engine("ALL_PROXY=http://p:1|no_proxy=a|NO_PROXY=b",
                  "ALL_PROXY=http://p:1|NO_PROXY=b," INNER "|no_proxy=a," INNER);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/proxies/for-engine", test_for_engine);
    return g_test_run();
}

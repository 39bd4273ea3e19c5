/* SPDX-License-Identifier: MIT */
#include "launcher/engine/proxies.h"

#include <string.h>

#define INNER "host.docker.internal,10.0.2.0/24,172.17.0.0/16"

static void test_translate(void) {
    static const struct {
        const char *given;
        const char *expected;
    } cases[] = {
        {"http://127.0.0.1:3128", "http://10.0.2.2:3128"},
        {"http://127.8.9.10:3128/", "http://10.0.2.2:3128/"},
        {"http://LocalHost:3128", "http://10.0.2.2:3128"},
        {"http://proxy.localhost", "http://10.0.2.2"},
        {"http://[::1]:3128/x", "http://10.0.2.2:3128/x"},
        {"localhost:3128", "10.0.2.2:3128"},
        {"socks5://me:p@ss@localhost:1080", "socks5://me:p@ss@10.0.2.2:1080"},
        {"http://localhost:p@proxy.example:1", "http://localhost:p@proxy.example:1"},
        {"http://proxy.example:3128/?localhost", "http://proxy.example:3128/?localhost"},
        {"http://localhost.example:3128", "http://localhost.example:3128"},
        {"http://10.1.2.3:3128", "http://10.1.2.3:3128"},
        {"http://[fd00::1]:3128", "http://[fd00::1]:3128"},
        {"http://[::1", "http://[::1"},
        {"http://", "http://"},
        {"@", "@"},
        {"[", "["},
        {"[]", "[]"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *result = dinv_engine_proxies_translate(cases[i].given, "10.0.2.2");
        g_assert_cmpstr(result, ==, cases[i].expected);
    }
}

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
    return dinv_engine_proxies_for_engine(found, plan);
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

static void test_refused(void) {
    static const char *const values[] = {"HTTP_PROXY=http://p\n", "HTTP_PROXY=\xff", NULL};
    for (guint i = 0; values[i] != NULL; i++) {
        char *const environment[] = {(char *)values[i], NULL};
        g_autoptr(GError) error = NULL;
        g_assert_null(dinv_engine_proxies_find(environment, &error));
        g_assert_true(g_str_has_prefix(error->message, "HTTP_PROXY: "));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/proxies/translate", test_translate);
    g_test_add_func("/launcher/proxies/for-engine", test_for_engine);
    g_test_add_func("/launcher/proxies/refused", test_refused);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The proxies of an environment, and their hosts as the guest reaches them. */
#include "launcher/engine/proxies.h"

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
    g_test_add_func("/launcher/proxies/refused", test_refused);
    return g_test_run();
}

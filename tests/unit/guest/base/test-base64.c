/* SPDX-License-Identifier: MIT */
/* base64 as RFC 4648 has it, and what it refuses. */
#include "guest/base/base64.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void test_base64(void) {
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
    } cases[] = {{"", ""},        {"Zg==", "f"},        {"Zm8=", "fo"},
                 {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmFy", "foobar"},
                 {"Zg", NULL},    {"Zg=", NULL},        {"Zg=x", NULL},
                 {"====", NULL},  {"Zm9\n", NULL},      {"Zm-_", NULL},
                 {"=Zm9", NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t bytes[16];
        ssize_t len = dinv_base64_decode(cases[i].text, strlen(cases[i].text), bytes, sizeof bytes);
        g_test_message("%s", cases[i].text);
        if (cases[i].bytes == NULL) {
            g_assert_cmpint(len, ==, -EINVAL);
        } else {
            g_assert_cmpint(len, ==, (ssize_t)strlen(cases[i].bytes));
            g_assert_true(memcmp(bytes, cases[i].bytes, (size_t)len) == 0);
        }
    }
    uint8_t small[2];
    g_assert_cmpint(dinv_base64_decode("Zm9v", 4, small, sizeof small), ==, -ENOSPC);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/base64/decode", test_base64);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* What the sink of the log, which is the launcher, is given. */
#include "guest/base/log.h"

#include <glib.h>
#include <string.h>

static void remember(void *user, DinvGuestLogLevel level, const char *text) {
    GString *lines = user;
    g_string_append_printf(lines, "%s: %s\n", dinv_guest_log_level_name(level), text);
}

static void test_text(void) {
    g_autoptr(GString) lines = g_string_new(NULL);
    dinv_guest_log_set_sink(remember, lines);
    dinv_log_info("disk %s", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3");
    dinv_log_warning("a\xff"
                     "b\xe2\x82");
    dinv_log_error("a\tb\nc\x1b[31m\x7f");
    dinv_guest_log(DINV_LOG_DEBUG, "not for the launcher");
    dinv_guest_log_set_sink(NULL, NULL);
    dinv_log_info("not for the launcher either");
    g_assert_cmpstr(lines->str, ==,
                    "info: disk gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\n"
                    "warning: a\xef\xbf\xbd"
                    "b\xef\xbf\xbd\n"
                    "error: a b c?[31m?\n");
}

/* At every place of the limit in a character. */
static void test_long_text(void) {
    for (gsize shift = 0; shift < 4; shift++) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autofree char *padding = g_strnfill(shift, 'x');
        g_string_append(text, padding);
        while (text->len < 2000) {
            g_string_append(text, "\xf0\x9f\x90\xb3");
        }
        g_autoptr(GString) lines = g_string_new(NULL);
        dinv_guest_log_set_sink(remember, lines);
        dinv_log_info("%s", text->str);
        dinv_guest_log_set_sink(NULL, NULL);
        g_assert_true(g_str_has_prefix(lines->str, "info: "));
        g_assert_true(g_str_has_suffix(lines->str, "\n"));
        g_string_truncate(lines, lines->len - 1);
        const char *logged = lines->str + strlen("info: ");
        g_assert_true(g_str_has_prefix(text->str, logged));
        g_assert_cmpuint(strlen(logged), ==, shift + (1023 - shift) / 4 * 4);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/log/text", test_text);
    g_test_add_func("/guest/log/long-text", test_long_text);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Text made fit for JSON, against the tables of Unicode and against GLib's validator. */
#include "guest/base/utf8.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define R DINV_UTF8_REPLACEMENT

static void check(const char *text, size_t len, const char *expected) {
    char *copy = dinv_utf8_make_valid(text, len);
    g_autofree char *shown = g_strescape(text, NULL);
    g_test_message("%s", shown);
    g_assert_cmpstr(copy, ==, expected);
    g_assert_true(g_utf8_validate(copy, -1, NULL));
    free(copy);
}

static void test_valid_stays(void) {
    static const char *const texts[] = {
        "",
        "plain\ttext\n\x7f",
        "gr\xc3\xbc\xc3\x9f",
        "\xe2\x82\xac",
        "\xf0\x9f\x90\xb3",
        "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
        "\xed\x9f\xbf\xee\x80\x80" /* around the surrogates */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        check(texts[i], strlen(texts[i]), texts[i]);
    }
}

static void test_replaced(void) {
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"a\xffz", "a" R "z"},
        {"\x80\xbf", R R},
        /* overlong forms: of "/", of NUL, of U+07FF, of U+FFFF */
        {"\xc0\xaf", R R},
        {"\xc0\x80", R R},
        {"\xe0\x9f\xbf", R R R},
        {"\xf0\x8f\xbf\xbf", R R R R},
        /* surrogates, and what is beyond U+10FFFF */
        {"\xed\xa0\x80\xed\xbf\xbf", R R R R R R},
        {"\xf4\x90\x80\x80", R R R R},
        {"\xf5\x80\x80\x80", R R R R},
        /* sequences that end too early, at a character and at the end: one for each */
        {"\xc3z", R "z"},
        {"\xe2\x82z", R "z"},
        {"\xf0\x9f\x90z", R "z"},
        {"\xf0\x9f\x90\xe2\x82\xac", R "\xe2\x82\xac"},
        {"\xc3", R},
        {"\xe2\x82", R},
        {"\xf0\x9f\x90", R},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        check(cases[i].text, strlen(cases[i].text), cases[i].expected);
    }
    check("a\0b", 3, "a" R "b");
}

static void test_random_bytes(void) {
    for (int i = 0; i < 20000; i++) {
        char bytes[12];
        for (gsize k = 0; k < sizeof bytes; k++) {
            /* Many of the bytes that leads and continuations are made of. */
            bytes[k] = (char)(g_random_boolean() ? g_random_int_range(0x80, 0x100)
                                                 : g_random_int_range(1, 0x100));
        }
        char *copy = dinv_utf8_make_valid(bytes, sizeof bytes);
        g_autofree char *expected = g_utf8_make_valid(bytes, sizeof bytes);
        g_assert_true(g_utf8_validate(copy, -1, NULL));
        if (g_utf8_validate_len(bytes, sizeof bytes, NULL)) {
            g_assert_true(strncmp(copy, bytes, sizeof bytes) == 0);
        }
        /* GLib writes one U+FFFD a byte: apart from their number the texts are the same. */
        g_auto(GStrv) ours = g_strsplit(copy, R, -1);
        g_auto(GStrv) theirs = g_strsplit(expected, R, -1);
        g_autofree char *rest = g_strjoinv("", ours);
        g_autofree char *their_rest = g_strjoinv("", theirs);
        g_assert_cmpstr(rest, ==, their_rest);
        free(copy);
    }
}

static void test_cut(void) {
    static const char text[] = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xb3";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t len = 0; len < G_N_ELEMENTS(expected); len++) {
        g_assert_cmpuint(dinv_utf8_cut(text, len), ==, expected[len]);
    }
    /* What is not UTF-8 anyway stays for others to judge. */
    g_assert_cmpuint(dinv_utf8_cut("a\xff", 2), ==, 2);
    g_assert_cmpuint(dinv_utf8_cut("\x80\x80\x80\x80", 4), ==, 4);
    g_assert_cmpuint(dinv_utf8_cut("\xe0\x80", 2), ==, 2);
}

/* Every capacity: whole characters only, and never a byte too many. */
static void test_copy_is_bounded(void) {
    static const char text[] = "a\xc3\xbc\xe2\x82\xac\xff\xf0\x9f\x90\xb3";
    static const char whole[] = "a\xc3\xbc\xe2\x82\xac" R "\xf0\x9f\x90\xb3";
    for (size_t cap = 1; cap <= sizeof whole; cap++) {
        g_autofree char *to = g_malloc(cap); /* of that size, for AddressSanitizer */
        size_t len = dinv_utf8_copy(to, cap, text, sizeof text - 1);
        g_assert_cmpuint(len, ==, strlen(to));
        g_assert_cmpuint(len, ==, dinv_utf8_cut(whole, cap - 1));
        g_assert_true(strncmp(to, whole, len) == 0);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/utf8/valid-stays", test_valid_stays);
    g_test_add_func("/guest/utf8/replaced", test_replaced);
    g_test_add_func("/guest/utf8/random-bytes", test_random_bytes);
    g_test_add_func("/guest/utf8/cut", test_cut);
    g_test_add_func("/guest/utf8/copy-is-bounded", test_copy_is_bounded);
    return g_test_run();
}

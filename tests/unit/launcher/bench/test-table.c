/* SPDX-License-Identifier: MIT */
/* The printed table, its figures, and how much is measured. */
#include "launcher/bench/table.h"

static void test_markdown(void) {
    g_autoptr(DinvBenchTable) table = dinv_bench_table_new();
    dinv_bench_table_add(table, "hello", "35.0 µs", NULL);
    dinv_bench_table_add(table, "a|b", "x\n| y", "<b>_`*\x1b[2J");
    g_autofree char *text = dinv_bench_table_to_markdown(table);
    g_assert_cmpstr(text, ==,
                    "| dinv doctor --bench | Result  | How                  |\n"
                    "|---|---|---|\n"
                    "| hello               | 35.0 µs |                      |\n"
                    "| a\\|b                | x \\| y  | \\<b\\>\\_\\`\\*\\\\x1b\\[2J |\n");
}

static void check_text(char *text, const char *expected) {
    g_autofree char *owned = text;
    g_assert_cmpstr(owned, ==, expected);
}

static void test_figures(void) {
    check_text(dinv_bench_format_seconds(12.345), "12.3 s");
    check_text(dinv_bench_format_seconds(123.45), "123 s");
    check_text(dinv_bench_format_seconds(1), "1.00 s");
    check_text(dinv_bench_format_seconds(0.9996), "1.00 s");
    check_text(dinv_bench_format_seconds(0.5), "500 ms");
    check_text(dinv_bench_format_seconds(0.00123), "1.23 ms");
    check_text(dinv_bench_format_seconds(0.0000456), "45.6 µs");
    check_text(dinv_bench_format_rate(50000000, 0.5), "100 MB/s");
    check_text(dinv_bench_format_rate(1234567, 1), "1.23 MB/s");
    check_text(dinv_bench_format_rate(1, 0), "-");
    check_text(dinv_bench_format_frequency(200, 0.5), "400 /s");
    check_text(dinv_bench_format_frequency(200, 0), "-");
}

static void test_median(void) {
    double one[] = {4};
    double odd[] = {9, 1, 5};
    double even[] = {4, 3, 2, 1};
    g_assert_cmpfloat(dinv_bench_median(one, 1), ==, 4);
    g_assert_cmpfloat(dinv_bench_median(odd, 3), ==, 5);
    g_assert_cmpfloat(dinv_bench_median(even, 4), ==, 2);
}

static void test_scale(void) {
    g_assert_cmpuint(dinv_bench_scale(4, 0.25, 1, 100), ==, 16);
    g_assert_cmpuint(dinv_bench_scale(4, 5, 1, 100), ==, 4); /* slow: no more than the first */
    g_assert_cmpuint(dinv_bench_scale(4, 0.001, 1, 100), ==, 100);
    g_assert_cmpuint(dinv_bench_scale(4, 0, 1, 100), ==, 100); /* too fast for the clock */
    g_assert_cmpuint(dinv_bench_scale(4, 1e-300, 1, 100), ==, 100);
}

static void test_cpu_model(void) {
    check_text(dinv_bench_cpu_model("processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nflags\t: x\n"),
               "A CPU @ 3 GHz");
    check_text(dinv_bench_cpu_model("processor\t: 0\n"), "unknown");
    check_text(dinv_bench_cpu_model("model name\t:\nmodel name\t: B"), "B");
    check_text(dinv_bench_cpu_model(""), "unknown");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bench/table/markdown", test_markdown);
    g_test_add_func("/bench/table/figures", test_figures);
    g_test_add_func("/bench/table/median", test_median);
    g_test_add_func("/bench/table/scale", test_scale);
    g_test_add_func("/bench/table/cpu-model", test_cpu_model);
    return g_test_run();
}

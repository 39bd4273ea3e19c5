/* SPDX-License-Identifier: MIT */
/* The committed documents are what the tables say; `make docs` writes them anew. */
#include <string.h>

#include "launcher/cli/help.h"

static char *read_source(const char *name) {
    g_autofree char *path = g_build_filename(g_getenv("DINV_SOURCE_ROOT"), name, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void test_man_page(void) {
    g_autofree char *committed = read_source("docs/dinv.1");
    g_autofree char *generated = dinv_cli_help_man_page();
    g_assert_cmpstr(committed, ==, generated);
}

static void test_readme(void) {
    g_autofree char *committed = read_source("README.md");
    g_autofree char *generated = dinv_cli_help_readme_table();
    const char *begin = strstr(committed, DINV_README_BEGIN);
    const char *end = strstr(committed, DINV_README_END);
    g_assert_nonnull(begin);
    g_assert_nonnull(end);
    g_assert_true(begin < end);
    begin += strlen(DINV_README_BEGIN);
    g_autofree char *between = g_strndup(begin, (gsize)(end - begin));
    g_assert_cmpstr(between, ==, generated);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/docs-generated/man-page", test_man_page);
    g_test_add_func("/docs-generated/readme", test_readme);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Small files and their directories. */
#include "guest/base/files.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>

static void test_files(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-files-XXXXXX", NULL);
    g_autofree char *deep = g_build_filename(directory, "a", "b c", "d", NULL);
    g_assert_cmpint(dinv_make_directories(deep), ==, 0);
    g_assert_cmpint(dinv_make_directories(deep), ==, 0);
    g_assert_true(g_file_test(deep, G_FILE_TEST_IS_DIR));
    g_autofree char *file = g_build_filename(deep, "file", NULL);
    g_assert_cmpint(dinv_file_write(file, "x"), ==, -ENOENT);
    g_autofree char *big = g_strnfill(100000, 'y');
    g_assert_cmpint(dinv_file_replace(file, big), ==, 0);
    char small[8];
    g_assert_cmpint(dinv_file_read(file, small, sizeof small), ==, 7);
    g_assert_cmpstr(small, ==, "yyyyyyy");
    char *text = NULL;
    g_assert_cmpint(dinv_file_read_all(file, &text, 200000), ==, 100000);
    g_assert_cmpstr(text, ==, big);
    free(text);
    g_assert_cmpint(dinv_file_read_all(file, &text, 10000), ==, -EFBIG);
    g_assert_cmpint(dinv_make_directories(file), ==, -ENOTDIR);
    g_autofree char *below = g_build_filename(directory, "e", "f", "file", NULL);
    g_assert_cmpint(dinv_make_parents(below), ==, 0);
    g_assert_cmpint(dinv_file_replace(below, "x"), ==, 0);
    g_assert_cmpint(dinv_make_parents("/file"), ==, 0);
    g_assert_cmpint(dinv_make_parents(big), ==, -ENAMETOOLONG);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", directory);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/files/all", test_files);
    return g_test_run();
}

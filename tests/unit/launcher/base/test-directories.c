/* SPDX-License-Identifier: MIT */
/* Paths that are there in part, and links on the way. */
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/directories.h"

static void test_nearest(void) {
    g_autofree char *root = g_dir_make_tmp("dinv-test-XXXXXX", NULL);
    g_autofree char *missing = g_build_filename(root, "a", "b", "c", NULL);
    g_autofree char *there = g_build_filename(root, "a", NULL);
    g_autofree char *nearest = dinv_directory_nearest(missing);
    g_assert_cmpstr(nearest, ==, root);
    g_assert_cmpint(mkdir(there, 0700), ==, 0);
    g_autofree char *nearer = dinv_directory_nearest(missing);
    g_assert_cmpstr(nearer, ==, there);
    g_autofree char *itself = dinv_directory_nearest(there);
    g_assert_cmpstr(itself, ==, there);
    g_autofree char *top = dinv_directory_nearest("/");
    g_assert_cmpstr(top, ==, "/");
    dinv_directory_sync(there);
    dinv_directory_sync(missing);
    g_assert_cmpint(rmdir(there), ==, 0);
    g_assert_cmpint(rmdir(root), ==, 0);
}

static void test_resolve(void) {
    g_autofree char *root = g_dir_make_tmp("dinv-test-XXXXXX", NULL);
    char real[PATH_MAX];
    g_assert_nonnull(realpath(root, real));
    g_autofree char *link = g_build_filename(root, "link", NULL);
    g_autofree char *below = g_build_filename(link, "not", "there", NULL);
    g_assert_cmpint(symlink(".", link), ==, 0);
    g_autofree char *resolved = dinv_directory_resolve(below);
    g_autofree char *expected = g_build_filename(real, "not", "there", NULL);
    g_assert_cmpstr(resolved, ==, expected);
    g_assert_cmpint(unlink(link), ==, 0);
    g_assert_cmpint(rmdir(root), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/directories/nearest", test_nearest);
    g_test_add_func("/directories/resolve", test_resolve);
    return g_test_run();
}

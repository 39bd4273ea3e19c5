/* SPDX-License-Identifier: MIT */
/* Where the directory is made, and that all of it goes, and nothing else. */
#include "launcher/bench/directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

static void check_removed(const char *path) {
    g_autoptr(GError) error = NULL;
    g_assert_true(dinv_bench_directory_remove(path, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_make(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *missing = scratch_path(&scratch, "missing");
    g_autofree char *inside = dinv_bench_directory_make(scratch.path, NULL);
    g_assert_true(g_str_has_prefix(inside, scratch.path));
    struct stat status;
    g_assert_cmpint(lstat(inside, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0700);
    check_removed(inside);
    /* A state directory is not made for it. */
    g_autofree char *elsewhere = dinv_bench_directory_make(missing, NULL);
    g_assert_true(g_path_is_absolute(elsewhere));
    g_assert_false(g_str_has_prefix(elsewhere, scratch.path));
    g_assert_false(g_file_test(missing, G_FILE_TEST_EXISTS));
    check_removed(elsewhere);
    scratch_remove(&scratch);
}

static void test_remove(void) {
    Scratch scratch;
    scratch_make(&scratch);
    scratch_write(&scratch, "kept/file", "x");
    scratch_write(&scratch, "work/a/b/file", "x");
    g_autofree char *kept = scratch_path(&scratch, "kept");
    g_autofree char *file = scratch_path(&scratch, "kept/file");
    g_autofree char *link = scratch_path(&scratch, "work/a/link");
    g_autofree char *dangling = scratch_path(&scratch, "work/dangling");
    g_autofree char *work = scratch_path(&scratch, "work");
    g_assert_cmpint(symlink(kept, link), ==, 0);
    g_assert_cmpint(symlink("nowhere", dangling), ==, 0);
    check_removed(work);
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_bench_directory_remove(work, &error));
    g_assert_nonnull(error);
    scratch_remove(&scratch);
}

static void test_file_system(void) {
    g_autofree char *missing = dinv_bench_file_system("/no/such/directory");
    g_autofree char *of_kernel = dinv_bench_file_system("/proc");
    g_assert_cmpstr(missing, ==, "unknown");
    g_assert_cmpstr(of_kernel, ==, "0x9fa0");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bench/directory/make", test_make);
    g_test_add_func("/bench/directory/remove", test_remove);
    g_test_add_func("/bench/directory/file-system", test_file_system);
    return g_test_run();
}

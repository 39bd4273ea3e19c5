/* SPDX-License-Identifier: MIT */
/* The read-ahead of a disk, on a directory that stands for the kernel's. */
#include <errno.h>
#include <glib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest/system/system.h"
#include "tests/unit/lib/scratch.h"

static void read_ahead(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *here = scratch_path(&scratch, "");
    struct stat status;
    g_assert_cmpint(stat(here, &status), ==, 0);
    g_autofree char *name = g_strdup_printf("%u:%u", major(status.st_dev), minor(status.st_dev));
    g_assert_cmpint(dinv_system_set_read_ahead(here, here, 512), ==, -ENOENT);
    g_autofree char *device = scratch_path(&scratch, name);
    g_assert_cmpint(mkdir(device, 0755), ==, 0);
    g_autofree char *file = g_build_filename(device, "read_ahead_kb", NULL);
    g_assert_true(g_file_set_contents(file, "128", -1, NULL));
    g_assert_cmpint(dinv_system_set_read_ahead(here, here, 512), ==, 0);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "512");
    scratch_remove(&scratch);
}

static void read_ahead_of_nothing(void) {
    g_assert_cmpint(dinv_system_set_read_ahead("/sys/class/bdi", "/no/such/directory", 512), ==,
                    -ENOENT);
    g_autofree char *far = g_strnfill(300, 'x');
    g_assert_cmpint(dinv_system_set_read_ahead(far, "/", 512), ==, -ENAMETOOLONG);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/system/read-ahead", read_ahead);
    g_test_add_func("/guest/system/read-ahead/of-nothing", read_ahead_of_nothing);
    return g_test_run();
}

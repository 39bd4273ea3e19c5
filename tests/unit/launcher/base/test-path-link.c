/* SPDX-License-Identifier: MIT */
/* What a link replaces, what it leaves alone, and when it goes. */
#include "launcher/base/path-link.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/unix-port.h"

static void assert_leads_to(const char *path, const char *target) {
    g_autofree char *found = g_file_read_link(path, NULL);
    g_assert_cmpstr(found, ==, target);
}

static void test_link(void) {
    Scratch scratch;
    scratch_make(&scratch);
    g_autofree char *path = scratch_path(&scratch, "run/docker.sock");
    g_autofree char *target = scratch_path(&scratch, "elsewhere.sock");
    DinvPathLink *link = dinv_path_link_new(path, target);
    g_assert_cmpstr(dinv_path_link_get_path(link), ==, path);
    assert_leads_to(path, target);
    dinv_path_link_free(link);
    g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
    /* What a killed dinv left leads nowhere, and is replaced. */
    g_assert_cmpint(symlink("/no/such/socket", path), ==, 0);
    link = dinv_path_link_new(path, target);
    assert_leads_to(path, target);
    /* Somebody else's by now: it stays. */
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(symlink("/another", path), ==, 0);
    dinv_path_link_free(link);
    assert_leads_to(path, "/another");
    g_assert_cmpint(unlink(path), ==, 0);
    /* A socket that is dead, and one that lives. */
    close(unix_port_listen(path));
    dinv_path_link_free(dinv_path_link_new(path, target));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    int fd = unix_port_listen(path);
    g_assert_null(dinv_path_link_new(path, target));
    close(fd);
    g_assert_cmpint(unlink(path), ==, 0);
    scratch_write(&scratch, "run/docker.sock", "a file");
    g_assert_null(dinv_path_link_new(path, target));
    g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
    scratch_remove(&scratch);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/path-link", test_link);
    return g_test_run();
}

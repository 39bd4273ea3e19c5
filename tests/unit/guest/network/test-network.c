/* SPDX-License-Identifier: MIT */
/* The files of /etc that go with the network. */
#include "guest/network/network.h"

#include <errno.h>
#include <glib.h>
#include <unistd.h>

static void check_file(const char *directory, const char *name, const char *expected) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpint(unlink(path), ==, 0);
}

static void test_network_files(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-etc-XXXXXX", NULL);
    char one[] = "10.0.2.3";
    char two[] = "fec0::3";
    char domain[] = "example.org";
    char name[] = "host.docker.internal";
    char gateway[] = "10.0.2.2";
    char *dns[] = {one, two, NULL};
    char *search[] = {domain, domain, NULL};
    char *options[] = {NULL};
    DinvHostEntry hosts[] = {{name, gateway}};
    DinvNetworkConfiguration network = {.present = true,
                                        .dns = dns,
                                        .search = search,
                                        .options = options,
                                        .hosts = hosts,
                                        .host_count = 1};
    /* A resolv.conf that is a symbolic link is replaced, not followed. */
    g_autofree char *link = g_build_filename(directory, "resolv.conf", NULL);
    g_assert_cmpint(symlink("/does/not/exist", link), ==, 0);
    g_assert_cmpint(dinv_network_write_files(directory, &network, "box"), ==, 0);
    check_file(directory, "resolv.conf",
               "search example.org example.org\nnameserver 10.0.2.3\nnameserver fec0::3\n");
    check_file(directory, "hosts",
               "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n"
               "10.0.2.2\thost.docker.internal\n");
    check_file(directory, "hostname", "box\n");
    g_assert_cmpint(rmdir(directory), ==, 0);
    g_assert_cmpint(dinv_network_write_files(directory, &network, "box"), ==, -ENOENT);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/network/files", test_network_files);
    return g_test_run();
}

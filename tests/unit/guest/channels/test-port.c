/* SPDX-License-Identifier: MIT */
/* How a virtio-serial port is found by its name. */
#include "guest/channels/port.h"

#include <errno.h>
#include <glib.h>

static void test_port_find(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-port-XXXXXX", NULL);
    static const char *const names[] = {"vport1p1", "vport1p2"};
    static const char *const ports[] = {"dinv.control\n", "dinv.relay\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);
        g_assert_cmpint(g_mkdir_with_parents(path, 0700), ==, 0);
        g_autofree char *name = g_build_filename(path, "name", NULL);
        g_assert_true(g_file_set_contents(name, ports[i], -1, NULL));
    }
    g_assert_cmpint(dinv_channel_port_find(directory, directory, "dinv"), ==, -ENOENT);
    g_assert_cmpint(dinv_channel_port_find("/does/not/exist", directory, "dinv.relay"), ==,
                    -ENOENT);
    /* In the place of the device stands its directory of the class: found, but not writable. */
    g_assert_cmpint(dinv_channel_port_find(directory, directory, "dinv.relay"), ==, -EISDIR);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", directory);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/port/find", test_port_find);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The place of launcher.sock. */
#include "launcher/state/launcher-socket.h"

#include <string.h>

static void test_path(void) {
    g_autofree char *path = dinv_state_launcher_socket_path("/var/lib/dinv");
    g_assert_cmpstr(path, ==, "/var/lib/dinv/launcher.sock");
}

static void test_check(void) {
    g_autoptr(GError) error = NULL;
    g_assert_true(dinv_state_launcher_socket_check("/var/lib/dinv", &error));
    g_autofree char *long_name = g_strnfill(94, '/');
    g_assert_false(dinv_state_launcher_socket_check(long_name, &error));
    g_assert_nonnull(strstr(error->message, "DINV_STATE_DIR"));
    long_name[93] = '\0';
    g_assert_true(dinv_state_launcher_socket_check(long_name, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/state/launcher-socket/path", test_path);
    g_test_add_func("/launcher/state/launcher-socket/check", test_check);
    return g_test_run();
}

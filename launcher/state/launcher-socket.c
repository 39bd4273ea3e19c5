/* SPDX-License-Identifier: MIT */
/* The place of launcher.sock. */
#include "launcher/state/launcher-socket.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/un.h>

#define SOCKET_NAME "launcher.sock"

char *dinv_state_launcher_socket_path(const char *state_dir) {
    return g_build_filename(state_dir, SOCKET_NAME, NULL);
}

gboolean dinv_state_launcher_socket_check(const char *state_dir, GError **error) {
    const gsize longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    gsize length = strlen(state_dir) + 1 + strlen(SOCKET_NAME);
    if (length > longest) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG,
                    "DINV_STATE_DIR: \"%s\" is %zu bytes long, at most %zu leave room for the "
                    "socket \"" SOCKET_NAME "\" in it; choose a shorter one",
                    state_dir, strlen(state_dir), longest - 1 - strlen(SOCKET_NAME));
        return FALSE;
    }
    return TRUE;
}

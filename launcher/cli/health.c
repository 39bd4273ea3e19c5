/* SPDX-License-Identifier: MIT */
/* The verb `health`: whether the engine is of use to others now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/cli/cli.h"
#include "launcher/cli/engine-client.h"
#include "launcher/cli/launcher-client.h"
#include "launcher/cli/output.h"
#include "launcher/state/launcher-socket.h"

/* Asks the engine for /_ping on the socket at `path`: what any client of it would meet. */
static gboolean ping(const char *path) {
    static const char request[] = "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n";
    gboolean answered = FALSE;
    char answer[64] = "";
    int fd = dinv_cli_engine_connect(path);
    if (fd < 0) {
        return FALSE;
    }
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
        recv(fd, answer, 12, MSG_WAITALL) == 12) {
        answered = g_str_has_prefix(answer, "HTTP/1.") && g_str_has_suffix(answer, " 200");
    }
    (void)close(fd);
    return answered;
}

int dinv_cli_health(const DinvConfig *config) {
    struct json_object *status = dinv_cli_launcher_ask(config, DINV_STATE_LAUNCHER_VERB_STATUS);
    if (status == NULL) {
        return EXIT_FAILURE;
    }
    int result = EXIT_FAILURE;
    if (dinv_cli_json_get(status, "paused") != NULL) {
        dinv_cli_complain("not healthy: the guest is paused: %s",
                          dinv_cli_json_text(status, "paused"));
    } else if (dinv_cli_json_get(status, "unready") != NULL) {
        dinv_cli_complain("not healthy: %s", dinv_cli_json_text(status, "unready"));
    } else if (strcmp(dinv_cli_json_text(status, "state"), "ready") != 0) {
        dinv_cli_complain("not healthy: the state is \"%s\"", dinv_cli_json_text(status, "state"));
    } else if (!ping(dinv_cli_json_text(status, "socket"))) {
        dinv_cli_complain("not healthy: the engine does not answer on \"%s\"",
                          dinv_cli_json_text(status, "socket"));
    } else {
        puts("healthy");
        result = EXIT_SUCCESS;
    }
    json_object_put(status);
    return result;
}

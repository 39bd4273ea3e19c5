/* SPDX-License-Identifier: MIT */
/* Looks for the launcher whose job this is, and does what is left to do. */
#include "launcher/cli/within.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/launcher-client.h"

gboolean dinv_cli_is_within(const DinvConfig *config) {
    return g_getenv(DINV_CLI_WITHIN_VARIABLE) != NULL &&
           dinv_cli_launcher_is_running(config->state_dir);
}

int dinv_cli_run_within(const DinvConfig *config, char **command) {
    sigset_t stops;
    int signal_number = 0;
    (void)sigemptyset(&stops);
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)sigaddset(&stops, SIGHUP);
    if (command[0] == NULL) { /* a command is to find its signals as they are */
        (void)sigprocmask(SIG_BLOCK, &stops, NULL);
    }
    if (config->dockerd_args[0] != NULL) {
        dinv_log(DINV_LOG_WARNING,
                 "this is a job of dinv, whose engine is up already: \"%s\" and what else is meant "
                 "for dockerd has no effect; give it to the container as its command, and not "
                 "behind a shell",
                 config->dockerd_args[0]);
    }
    if (command[0] != NULL) {
        (void)execvp(command[0], command);
        dinv_log(DINV_LOG_ERROR, "cannot run \"%s\": %s", command[0], g_strerror(errno));
        return errno == ENOENT ? DINV_EXIT_NOT_FOUND : DINV_EXIT_NOT_EXECUTABLE;
    }
    dinv_log(DINV_LOG_INFO, "this is a job of dinv, whose engine is up already");
    (void)sigwait(&stops, &signal_number);
    return EXIT_SUCCESS;
}

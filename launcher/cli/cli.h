/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/cli: the verbs of the command line, their help and exit statuses, and the
 * clients of the launcher's and the engine's sockets. What a launcher does while it runs may not
 * enter: `run` alone makes and owns that, and the other verbs work from another process.
 *
 * Each verb gets the words behind its name and returns the exit status; what went wrong is on
 * stderr by then.
 */
#pragma once

#include "launcher/settings/config.h"

/* dinv itself failed; the message says why. */
#define DINV_EXIT_FAILED 125
/* As a shell has it: the command cannot be run, or was not found. */
#define DINV_EXIT_NOT_EXECUTABLE 126
#define DINV_EXIT_NOT_FOUND      127

/* Serves until stopped, or runs `command` (NULL-terminated, may be empty) and ends with its status.
 * Blocks for as long as that takes. */
int dinv_cli_run(const DinvConfig *config, char **command);

int dinv_cli_status(const DinvConfig *config, int argc, char **argv);
int dinv_cli_ports(const DinvConfig *config, int argc, char **argv);
int dinv_cli_health(const DinvConfig *config);
int dinv_cli_logs(const DinvConfig *config, int argc, char **argv);
int dinv_cli_shell(const DinvConfig *config, int argc, char **argv);
int dinv_cli_image(int argc, char **argv);

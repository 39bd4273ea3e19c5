/* SPDX-License-Identifier: MIT */
/*
 * The verbs of the command line. Each gets the words behind its name and returns the exit status;
 * what went wrong is on stderr by then. All but `run` work from another process than the
 * launcher's.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/settings/config.h"

/* dinv itself failed; the message says why. */
#define DINV_EXIT_FAILED 125
/* As a shell has it: the command cannot be run, or was not found. */
#define DINV_EXIT_NOT_EXECUTABLE 126
#define DINV_EXIT_NOT_FOUND      127

/* Serves until stopped, or runs `command` (NULL-terminated, may be empty) and ends with its status.
 */
int dinv_cli_run(const DinvConfig *config, char **command);

int dinv_cli_status(const DinvConfig *config, int argc, char **argv);
int dinv_cli_ports(const DinvConfig *config, int argc, char **argv);
int dinv_cli_health(const DinvConfig *config);
int dinv_cli_logs(const DinvConfig *config, int argc, char **argv);
int dinv_cli_shell(const DinvConfig *config, int argc, char **argv);
int dinv_cli_image(int argc, char **argv);

/* Asks the running launcher {"verb": verb}; its answer (transfer full), or NULL after a complaint.
 */
struct json_object *dinv_cli_ask(const DinvConfig *config, const char *verb);
/* What `object` has under `key`, borrowed; NULL if it has none, or is no object. */
struct json_object *dinv_cli_get(struct json_object *object, const char *key);
/* The same as text, "-" if there is none. */
const char *dinv_cli_text(struct json_object *object, const char *key);
/* Reads the arguments of a verb whose one option is --json; FALSE after a complaint. */
gboolean dinv_cli_parse_json(const char *verb, int argc, char **argv, gboolean *as_json);
/* Connects to the engine's socket: a descriptor that blocks for at most five seconds in each call,
 * to be closed by the caller, or -1. */
int dinv_cli_connect_engine(const char *path);
/* Whether all that was printed has left; complains if not. `what` was being printed. */
gboolean dinv_cli_flush(const char *what);
/* Prints "dinv: TEXT" to stderr. */
void dinv_cli_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

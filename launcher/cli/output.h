/* SPDX-License-Identifier: MIT */
/* What the verbs print: complaints on stderr, results on stdout, and parts of answers in JSON. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

/* Prints "dinv: TEXT" to stderr. */
void dinv_cli_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Whether all that was printed has left; complains if not. `what` was being printed. */
gboolean dinv_cli_flush(const char *what);

/* Reads the arguments of a verb whose one option is --json; FALSE after a complaint. */
gboolean dinv_cli_parse_json_option(const char *verb, int argc, char **argv, gboolean *as_json);

/* What `object` has under `key`, borrowed; NULL if it has none, or is no object. */
struct json_object *dinv_cli_json_get(struct json_object *object, const char *key);
/* What it has there as text, borrowed; "-" if it has none, or is no object. */
const char *dinv_cli_json_text(struct json_object *object, const char *key);

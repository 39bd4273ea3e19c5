/* SPDX-License-Identifier: MIT */
/*
 * `launcher.sock` in the state directory: how the other verbs (status, health, ports, logs, shell)
 * reach the launcher that runs. What both of its sides need to know stands here; the server is
 * launcher/vm/launcher-socket.h, the client launcher/cli/launcher-client.h.
 *
 * A client sends one JSON line; the answer is one JSON line. After the verbs `exec` and `log` were
 * answered with {"ok": true}, the connection is joined to the guest's service of that name
 * (docs/relay-protocol.md). A failure is {"error": "…"}. A client waits for the answer before it
 * sends more.
 *
 *   {"verb": "status"}                  -> the object of `dinv status --json`
 *   {"verb": "forwards"}                -> {"forwards": […]}, as dinv-usernet has them
 *   {"verb": "exec", "argument": {…}}   -> {"ok": true}, then records of the exec service
 *   {"verb": "log", "argument": {…}}    -> {"ok": true}, then text
 */
#pragma once

#include <glib.h>

#include "wire/services.h"

#define DINV_STATE_LAUNCHER_VERB_STATUS   "status"
#define DINV_STATE_LAUNCHER_VERB_FORWARDS "forwards"
#define DINV_STATE_LAUNCHER_VERB_EXEC     DINV_WIRE_SERVICE_EXEC
#define DINV_STATE_LAUNCHER_VERB_LOG      DINV_WIRE_SERVICE_LOG

/* Of a line, without its end. */
#define DINV_STATE_LAUNCHER_REQUEST_MAX_BYTES 65536u
#define DINV_STATE_LAUNCHER_ANSWER_MAX_BYTES  (4u << 20)
/* How deep the JSON of either may be nested. */
#define DINV_STATE_LAUNCHER_JSON_DEPTH 16

/* The socket's path. Transfer full. */
char *dinv_state_launcher_socket_path(const char *state_dir);

/* Whether that path fits into a socket's address; the error names DINV_STATE_DIR. */
gboolean dinv_state_launcher_socket_check(const char *state_dir,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

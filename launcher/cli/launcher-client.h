/* SPDX-License-Identifier: MIT */
/*
 * The client's side of launcher.sock, whose protocol is in launcher/state/launcher-socket.h: how a
 * verb reaches the launcher that runs on a state directory. Everything here blocks, for at most ten
 * seconds in connecting, sending and reading each.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/settings/config.h"

/* Whether a launcher serves `state_dir`. */
gboolean dinv_cli_launcher_is_running(const char *state_dir);

/* Connects to the launcher that runs on `state_dir`, sends `request` (taken in any case) and reads
 * the answer (transfer full) without a byte more. Returns the connected socket, to be closed by the
 * caller, or -1: no launcher (G_IO_ERROR_NOT_FOUND), or it answered with an error; *answer is then
 * untouched. What is in an answer may come from the guest: it is untrusted. */
int dinv_cli_launcher_call(const char *state_dir, struct json_object *request,
                           struct json_object **answer, GError **error);

/* Asks the running launcher {"verb": verb}; its answer (transfer full), or NULL after a complaint.
 */
struct json_object *dinv_cli_launcher_ask(const DinvConfig *config, const char *verb);

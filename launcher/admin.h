/* SPDX-License-Identifier: MIT */
/*
 * `launcher.sock` in the state directory: how the other verbs (status, health, logs, shell) reach
 * the launcher that runs. A client sends one JSON line; the answer is one JSON line. After the
 * verbs `exec` and `log` was answered with {"ok": true}, the connection is joined to the guest's
 * service of that name (docs/relay-protocol.md). A failure is {"error": "…"}.
 *
 *   {"verb": "status"}                  -> the object of `dinv status --json`
 *   {"verb": "exec", "argument": {…}}   -> {"ok": true}, then records of the exec service
 *   {"verb": "log", "argument": {…}}    -> {"ok": true}, then text
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/vm.h"

typedef struct DinvAdmin DinvAdmin;

/* Serves `vm` (borrowed) in the default GMainContext. The socket is of mode 0600. Free the vm
 * first, with no turn of the loop in between: it answers the clients that still wait for its
 * status. */
DinvAdmin *dinv_admin_new(const char *state_dir, DinvVm *vm, GError **error);
void dinv_admin_free(DinvAdmin *admin);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvAdmin, dinv_admin_free)

/* The client's side, blocking for at most ten seconds. Connects to the launcher that runs on
 * `state_dir`, sends `request` (taken) and reads the answer (transfer full) without a byte more.
 * Returns the connected socket, to be closed by the caller, or -1: no launcher
 * (G_IO_ERROR_NOT_FOUND), or it answered with an error. */
int dinv_admin_call(const char *state_dir, struct json_object *request, struct json_object **answer,
                    GError **error);

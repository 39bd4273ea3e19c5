/* SPDX-License-Identifier: MIT */
/*
 * `launcher.sock` in the state directory: how the other verbs (status, health, logs, shell) reach
 * the launcher that runs. A client sends one JSON line; the answer is one JSON line. After the
 * verbs `exec` and `log` were answered with {"ok": true}, the connection is joined to the guest's
 * service of that name (docs/relay-protocol.md). A failure is {"error": "…"}. A client waits for
 * the answer before it sends more.
 *
 *   {"verb": "status"}                  -> the object of `dinv status --json`
 *   {"verb": "forwards"}                -> {"forwards": text, a line for each as the machine has
 * it}
 *   {"verb": "exec", "argument": {…}}   -> {"ok": true}, then records of the exec service
 *   {"verb": "log", "argument": {…}}    -> {"ok": true}, then text
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/vm/vm.h"

typedef struct DinvAdmin DinvAdmin;

/* Serves `vm` (borrowed) in the default GMainContext. The socket is of mode 0600. Free the vm
 * first, with no turn of the loop in between: it answers the clients that still wait for its
 * status. */
DinvAdmin *dinv_admin_new(const char *state_dir, DinvVm *vm, GError **error);
void dinv_admin_free(DinvAdmin *admin);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvAdmin, dinv_admin_free)

/* Whether the socket's path fits into an address; an error names DINV_STATE_DIR. */
gboolean dinv_admin_check(const char *state_dir, GError **error);

/* The client's side. Whether a launcher serves `state_dir`; waits at most ten seconds. */
gboolean dinv_admin_is_running(const char *state_dir);

/* The client's side, blocking for at most ten seconds in connecting, sending and reading each.
 * Connects to the launcher that runs on `state_dir`, sends `request` (taken) and reads the answer
 * (transfer full) without a byte more. Returns the connected socket, to be closed by the caller, or
 * -1: no launcher (G_IO_ERROR_NOT_FOUND), or it answered with an error. */
int dinv_admin_call(const char *state_dir, struct json_object *request, struct json_object **answer,
                    GError **error);

/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the client share: client.c has the connection, its states and what comes
 * in; commands.c has what goes out and who waits for which reply. Private to the room; the theory
 * of operation is in client.c.
 */
#pragma once

#include "qmp/client.h"
#include "qmp/reader.h"

typedef enum {
    DINV_QMP_STATE_GREETING,     /* nothing may be sent */
    DINV_QMP_STATE_CAPABILITIES, /* only qmp_capabilities may be sent, and it was */
    DINV_QMP_STATE_RUNNING,
    DINV_QMP_STATE_BROKEN, /* no socket any more */
} DinvQmpState;

struct DinvQmpClient {
    gatomicrefcount references;
    gboolean closed;
    DinvQmpState state;
    int fd;
    GMainContext *context;
    GSource *input;
    GSource *output;
    GSource *handshake_deadline;
    DinvQmpReader *reader;
    GQueue outgoing; /* of Message, in order */
    GTree *pending;  /* id -> Call, so in order of issue */
    guint64 last_id;
    guint64 handshake_id;
    GError *reason; /* why it is BROKEN */
    DinvQmpCallbacks callbacks;
    gpointer user;
};

/* ---- client.c ---- */

DinvQmpClient *dinv_qmp_client_ref(DinvQmpClient *client);
void dinv_qmp_client_unref(DinvQmpClient *client);

/* Destroys *source, if there is one, and sets it to NULL. */
void dinv_qmp_source_clear(GSource **source);

/* A timer in the client's context; the reference is the caller's. */
GSource *dinv_qmp_timeout_attach(DinvQmpClient *client, guint milliseconds, GSourceFunc function,
                                 gpointer user) G_GNUC_WARN_UNUSED_RESULT;

/* ---- commands.c ---- */

/* An empty `pending`. */
GTree *dinv_qmp_commands_new_pending(void);

/* Puts qmp_capabilities before everything else that waits to be sent. It has no Call: the handshake
 * has a deadline of its own, and client.c sees the reply. */
void dinv_qmp_commands_shake_hands(DinvQmpClient *client);

/* Watches for room in the socket exactly while something may be sent; to be called after a change
 * of the state. */
void dinv_qmp_commands_update_output(DinvQmpClient *client);

/* Forgets what was not sent yet. */
void dinv_qmp_commands_drop_outgoing(DinvQmpClient *client);

/* Ends every call that is pending now with `error`. The client may be freed by a callback, so the
 * caller holds a reference if it goes on with the client. */
void dinv_qmp_commands_fail_pending(DinvQmpClient *client, const GError *error);

/* Whether the call `id` waits for its reply. */
gboolean dinv_qmp_commands_has(const DinvQmpClient *client, guint64 id);

/* Ends the call `id`, if there is (still) one: exactly one of `result` and `refusal` is not NULL.
 * What is said of fail_pending() about the client holds here, too. */
void dinv_qmp_commands_end(DinvQmpClient *client, guint64 id, struct json_object *result,
                           struct json_object *refusal);

/* The error that QEMU's answer `refusal` to `command` stands for. Transfer full. */
GError *dinv_qmp_command_error(const char *command, struct json_object *refusal);

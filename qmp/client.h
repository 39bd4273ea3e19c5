/* SPDX-License-Identifier: MIT */
/*
 * The room qmp: a client of QEMU's monitor protocol over a connected stream socket
 * (docs/interop/qmp-spec.txt of QEMU). It knows the protocol only: no command of QEMU but
 * qmp_capabilities may enter, no policy, and nothing of dinv. What the peer says is untrusted: it
 * may end the connection, and nothing worse.
 *
 * The client works in the GMainContext that is the thread's default when it is made; nothing here
 * blocks. Callbacks run from that context's dispatch only, never from within
 * dinv_qmp_client_call(); the one exception is dinv_qmp_client_free(). A callback may call every
 * function of the client, free included.
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct DinvQmpClient DinvQmpClient;

typedef enum {
    DINV_QMP_ERROR_COMMAND,      /* QEMU answered with an error: its class and description */
    DINV_QMP_ERROR_TIMEOUT,      /* no reply within the command's deadline */
    DINV_QMP_ERROR_DISCONNECTED, /* the connection ended, or could not be read */
    DINV_QMP_ERROR_PROTOCOL,     /* what came is not QMP */
    DINV_QMP_ERROR_TOO_LARGE,    /* a message above 10 MiB came */
    DINV_QMP_ERROR_CLOSED,       /* the client was freed */
} DinvQmpError;
#define DINV_QMP_ERROR (dinv_qmp_error_quark())
GQuark dinv_qmp_error_quark(void);

typedef struct {
    /* An event; `data` is a JSON object or NULL. Both are borrowed. May be NULL. */
    void (*event)(DinvQmpClient *client, const char *name, struct json_object *data, gpointer user);
    /* The connection is over: EOF, an error, or a message that breaks the protocol. Once, after
     * every pending call has failed; not after free. May be NULL. */
    void (*disconnected)(DinvQmpClient *client, const GError *error, gpointer user);
} DinvQmpCallbacks;

/* The end of one call, exactly once: `result` is what QEMU returned (any JSON but null; borrowed),
 * or it is NULL and `error` says why (borrowed). */
typedef void (*DinvQmpReply)(struct json_object *result, const GError *error, gpointer user);

/* Takes over `fd`, a connected stream socket, and makes it nonblocking and close-on-exec. The
 * greeting and the negotiation of capabilities must be done within `handshake_ms`, or the client is
 * disconnected with DINV_QMP_ERROR_TIMEOUT. `callbacks` is copied. */
DinvQmpClient *dinv_qmp_client_new(int fd, guint handshake_ms, const DinvQmpCallbacks *callbacks,
                                   gpointer user);

/* Sends a command, after the handshake if that is not done yet. `arguments` is a JSON object or
 * NULL, and is taken over. `deadline_ms` counts from this call, whether the command could be sent
 * or not; a command that was not sent by then never is, and a reply after it is ignored. `reply`
 * may be NULL. On a client that is disconnected the call fails like any other, from the main
 * context. */
void dinv_qmp_client_call(DinvQmpClient *client, const char *command, struct json_object *arguments,
                          guint deadline_ms, DinvQmpReply reply, gpointer user);

/* Closes the socket. Pending calls fail with DINV_QMP_ERROR_CLOSED before this returns; their
 * callbacks must not use the client any more. NULL is ignored. */
void dinv_qmp_client_free(DinvQmpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvQmpClient, dinv_qmp_client_free)

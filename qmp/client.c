/* SPDX-License-Identifier: MIT */
/*
 * The connection of the client: its states and what comes in (commands.c has what goes out).
 *
 * Theory of operation. The server speaks first (the greeting), we answer with qmp_capabilities,
 * and only then it takes commands. The handshake is the state machine below; qmp_set_state() is the
 * only place that changes it.
 *
 *   GREETING ──{"QMP":…}──> CAPABILITIES ──reply──> RUNNING
 *       └────────────┬────────────┴────────────────────┘
 *                    v any error, or EOF
 *                 BROKEN ──disconnected()──> (free)
 *
 * A command lives in two places: as a Message in `outgoing` until its bytes are written, and as a
 * Call in `pending`, by id, until its reply, its deadline or the end of the connection: whichever
 * comes first takes the Call out of `pending` and so is the only one to run the callback. What is
 * written late, or answered late, finds no Call any more and is dropped. Writing is done only by
 * the G_IO_OUT watch, which exists while something is to be written and the state permits; so no
 * callback can run from within a call of our user.
 *
 * Callbacks may free the client: each dispatch holds a reference, and looks at `closed` after each
 * callback. Ids count from 1 and are never used again in one connection.
 */
#include "qmp/client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <unistd.h>

#include "qmp/internal.h"

#define READ_CHUNK 65536u

G_DEFINE_QUARK(dinv - qmp - error - quark, dinv_qmp_error)

/* ---- memory ---- */

void dinv_qmp_source_clear(GSource **source) {
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

GSource *dinv_qmp_timeout_attach(DinvQmpClient *client, guint milliseconds, GSourceFunc function,
                                 gpointer user) {
    GSource *source = g_timeout_source_new(milliseconds);
    g_source_set_callback(source, function, user, NULL);
    g_source_attach(source, client->context);
    return source;
}

/* Everything that belongs to the connection; the client may live on as BROKEN. */
static void qmp_disconnect(DinvQmpClient *client) {
    dinv_qmp_source_clear(&client->input);
    dinv_qmp_source_clear(&client->output);
    dinv_qmp_source_clear(&client->handshake_deadline);
    dinv_qmp_commands_drop_outgoing(client);
    if (client->fd >= 0) {
        (void)close(client->fd);
        client->fd = -1;
    }
}

void dinv_qmp_client_unref(DinvQmpClient *client) {
    if (!g_atomic_ref_count_dec(&client->references)) {
        return;
    }
    dinv_qmp_reader_free(client->reader);
    g_tree_unref(client->pending);
    g_main_context_unref(client->context);
    g_clear_error(&client->reason);
    g_free(client);
}

DinvQmpClient *dinv_qmp_client_ref(DinvQmpClient *client) {
    g_atomic_ref_count_inc(&client->references);
    return client;
}

/* ---- state ---- */

static const char *state_name(DinvQmpState state) {
    static const char *const names[] = {"greeting", "capabilities", "running", "broken"};
    return names[state];
}

static void qmp_set_state(DinvQmpClient *client, DinvQmpState state) {
    static const gboolean allowed[4][4] = {
        [DINV_QMP_STATE_GREETING] =
            {[DINV_QMP_STATE_CAPABILITIES] = TRUE, [DINV_QMP_STATE_BROKEN] = TRUE},
        [DINV_QMP_STATE_CAPABILITIES] =
            {[DINV_QMP_STATE_RUNNING] = TRUE, [DINV_QMP_STATE_BROKEN] = TRUE},
        [DINV_QMP_STATE_RUNNING] = {[DINV_QMP_STATE_BROKEN] = TRUE},
    };
    g_assert(allowed[client->state][state]);
    g_debug("qmp: %s -> %s", state_name(client->state), state_name(state));
    client->state = state;
}

/* The end of the connection; takes over `reason`. */
static void qmp_break_off(DinvQmpClient *client, GError *reason) {
    g_debug("qmp: %s", reason->message);
    qmp_set_state(client, DINV_QMP_STATE_BROKEN);
    qmp_disconnect(client);
    client->reason = reason;
    dinv_qmp_commands_fail_pending(client, reason);
    if (!client->closed && client->callbacks.disconnected != NULL) {
        client->callbacks.disconnected(client, reason, client->user);
    }
}

/* ---- reading ---- */

static gboolean qmp_protocol_error(GError **error, const char *what) {
    g_set_error(error, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL, "QMP: %s", what);
    return FALSE;
}

static gboolean qmp_on_handshake_deadline(gpointer user) {
    DinvQmpClient *client = dinv_qmp_client_ref(user);
    qmp_break_off(client, g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT,
                                      "QEMU's monitor did not come up in time"));
    dinv_qmp_client_unref(client);
    return G_SOURCE_REMOVE;
}

static gboolean qmp_handle_greeting(DinvQmpClient *client, GError **error) {
    if (client->state != DINV_QMP_STATE_GREETING) {
        return qmp_protocol_error(error, "a second greeting");
    }
    qmp_set_state(client, DINV_QMP_STATE_CAPABILITIES);
    dinv_qmp_commands_shake_hands(client);
    return TRUE;
}

static void qmp_handle_event(DinvQmpClient *client, struct json_object *name,
                             struct json_object *message) {
    if (client->callbacks.event == NULL) {
        return;
    }
    struct json_object *data = NULL;
    if (json_object_object_get_ex(message, "data", &data) &&
        !json_object_is_type(data, json_type_object)) {
        data = NULL;
    }
    client->callbacks.event(client, json_object_get_string(name), data, client->user);
}

/* A reply: exactly one of `result` and `refusal` is not NULL. */
static gboolean qmp_handle_reply(DinvQmpClient *client, struct json_object *id,
                                 struct json_object *result, struct json_object *refusal,
                                 GError **error) {
    if (!json_object_is_type(id, json_type_int)) {
        return qmp_protocol_error(error, refusal != NULL ? "an error without an id"
                                                         : "a reply without an id");
    }
    guint64 number = json_object_get_uint64(id);
    if (client->state == DINV_QMP_STATE_CAPABILITIES && number == client->handshake_id) {
        if (refusal != NULL) {
            g_propagate_error(error, dinv_qmp_command_error("qmp_capabilities", refusal));
            return FALSE;
        }
        qmp_set_state(client, DINV_QMP_STATE_RUNNING);
        dinv_qmp_source_clear(&client->handshake_deadline);
        dinv_qmp_commands_update_output(client);
        return TRUE;
    }
    if (client->state != DINV_QMP_STATE_RUNNING && dinv_qmp_commands_has(client, number)) {
        return qmp_protocol_error(error, "a reply to a command that was not sent");
    }
    dinv_qmp_commands_end(client, number, result, refusal);
    return TRUE;
}

/* FALSE with `error`: the client is to be broken off. May have run callbacks. */
static gboolean qmp_handle_message(DinvQmpClient *client, struct json_object *message,
                                   GError **error) {
    struct json_object *value = NULL;
    if (json_object_object_get_ex(message, "QMP", &value)) {
        return qmp_handle_greeting(client, error);
    }
    if (client->state == DINV_QMP_STATE_GREETING) {
        return qmp_protocol_error(error, "the peer did not begin with a greeting");
    }
    if (json_object_object_get_ex(message, "event", &value) &&
        json_object_is_type(value, json_type_string)) {
        qmp_handle_event(client, value, message);
        return TRUE;
    }
    struct json_object *id = NULL;
    (void)json_object_object_get_ex(message, "id", &id);
    if (json_object_object_get_ex(message, "return", &value) && value != NULL) {
        return qmp_handle_reply(client, id, value, NULL, error);
    }
    if (json_object_object_get_ex(message, "error", &value) &&
        json_object_is_type(value, json_type_object)) {
        return qmp_handle_reply(client, id, NULL, value, error);
    }
    return qmp_protocol_error(error, "a message that is no greeting, event or reply");
}

/* All messages in `bytes`. FALSE with `error`: the client is to be broken off. */
static gboolean feed(DinvQmpClient *client, const char *bytes, gsize len, GError **error) {
    for (;;) {
        struct json_object *message = NULL;
        if (!dinv_qmp_reader_next(client->reader, &bytes, &len, &message, error)) {
            return FALSE;
        }
        if (message == NULL) {
            return TRUE;
        }
        gboolean good = qmp_handle_message(client, message, error);
        json_object_put(message);
        if (!good) {
            return FALSE;
        }
        if (client->closed) {
            return TRUE;
        }
    }
}

static GError *end_of_input(const DinvQmpClient *client, gssize n, int number) {
    if (n < 0) {
        return g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED,
                           "QEMU's monitor connection broke: %s", g_strerror(number));
    }
    return g_error_new(
        DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED, "QEMU closed its monitor connection%s",
        dinv_qmp_reader_is_inside(client->reader) ? " in the middle of a message" : "");
}

static gboolean qmp_on_readable(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    DinvQmpClient *client = user;
    g_autofree char *bytes = g_malloc(READ_CHUNK);
    gssize n = read(fd, bytes, READ_CHUNK);
    int number = errno;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    dinv_qmp_client_ref(client);
    GError *error = NULL;
    if (n <= 0) {
        error = end_of_input(client, n, number);
    } else if (feed(client, bytes, (gsize)n, &error)) {
        g_assert(error == NULL);
    }
    if (error != NULL) {
        qmp_break_off(client, error);
    }
    dinv_qmp_client_unref(client);
    return G_SOURCE_CONTINUE; /* or the source is destroyed by now: then this means nothing */
}

/* ---- life ---- */

DinvQmpClient *dinv_qmp_client_new(int fd, guint handshake_ms, const DinvQmpCallbacks *callbacks,
                                   gpointer user) {
    DinvQmpClient *client = g_new0(DinvQmpClient, 1);
    g_atomic_ref_count_init(&client->references);
    client->state = DINV_QMP_STATE_GREETING;
    client->fd = fd;
    client->context = g_main_context_ref_thread_default();
    client->reader = dinv_qmp_reader_new();
    client->pending = dinv_qmp_commands_new_pending();
    client->callbacks = *callbacks;
    client->user = user;
    g_queue_init(&client->outgoing);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    client->input = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(client->input, G_SOURCE_FUNC(qmp_on_readable), client, NULL);
    g_source_attach(client->input, client->context);
    client->handshake_deadline =
        dinv_qmp_timeout_attach(client, handshake_ms, qmp_on_handshake_deadline, client);
    return client;
}

void dinv_qmp_client_free(DinvQmpClient *client) {
    if (client == NULL) {
        return;
    }
    client->closed = TRUE;
    qmp_disconnect(client);
    g_autoptr(GError) error =
        g_error_new_literal(DINV_QMP_ERROR, DINV_QMP_ERROR_CLOSED, "the QMP client was closed");
    dinv_qmp_commands_fail_pending(client, error);
    dinv_qmp_client_unref(client);
}

/* SPDX-License-Identifier: MIT */
/* Commands, from the call of our user to its reply: see "Theory of operation" in client.c. */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>

#include "qmp/internal.h"

typedef struct {
    guint64 id;
    char *command; /* its name, for messages */
    GSource *deadline;
    DinvQmpClient *client; /* borrowed: a call never outlives its client */
    DinvQmpReply reply;
    gpointer user;
} Call;

typedef struct {
    guint64 id;
    char *text;
    gsize len;
    gsize sent;
} Message;

static void message_free(Message *message) {
    g_free(message->text);
    g_free(message);
}

static void call_free(Call *call) {
    dinv_qmp_source_clear(&call->deadline);
    g_free(call->command);
    g_free(call);
}

static int compare_ids(gconstpointer a, gconstpointer b, gpointer user G_GNUC_UNUSED) {
    const guint64 *left = a;
    const guint64 *right = b;
    return (*left > *right) - (*left < *right);
}

GTree *dinv_qmp_commands_new_pending(void) {
    return g_tree_new_full(compare_ids, NULL, NULL, NULL);
}

/* ---- the end of a call ---- */

/* The client may be gone afterwards, unless the caller holds a reference. */
static void end_call(Call *call, struct json_object *result, const GError *error) {
    DinvQmpReply reply = call->reply;
    gpointer user = call->user;
    call_free(call);
    if (reply != NULL) {
        reply(result, error, user);
    }
}

void dinv_qmp_commands_fail_pending(DinvQmpClient *client, const GError *error) {
    /* A callback may add a call (which then fails by itself, later) or free the client, which
     * empties the tree: so always the first, and never beyond what there was. */
    guint64 last = client->last_id;
    GTreeNode *node;
    while ((node = g_tree_node_first(client->pending)) != NULL) {
        Call *call = g_tree_node_value(node);
        if (call->id > last) {
            break;
        }
        g_tree_steal(client->pending, &call->id);
        end_call(call, NULL, error);
    }
}

GError *dinv_qmp_command_error(const char *command, struct json_object *refusal) {
    struct json_object *text = NULL;
    if (!json_object_object_get_ex(refusal, "desc", &text) ||
        !json_object_is_type(text, json_type_string)) {
        return g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND, "QEMU refused %s", command);
    }
    g_autofree char *valid =
        g_utf8_make_valid(json_object_get_string(text), json_object_get_string_len(text));
    return g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND, "QEMU refused %s: %s", command,
                       valid);
}

void dinv_qmp_commands_end(DinvQmpClient *client, guint64 id, struct json_object *result,
                           struct json_object *refusal) {
    Call *call = g_tree_lookup(client->pending, &id);
    if (call == NULL) {
        g_debug("qmp: a reply to the unknown or expired id %" G_GUINT64_FORMAT ", ignoring", id);
        return;
    }
    g_tree_steal(client->pending, &call->id);
    if (refusal != NULL) {
        g_autoptr(GError) error = dinv_qmp_command_error(call->command, refusal);
        end_call(call, NULL, error);
    } else {
        end_call(call, result, NULL);
    }
}

gboolean dinv_qmp_commands_has(const DinvQmpClient *client, guint64 id) {
    return g_tree_lookup(client->pending, &id) != NULL;
}

/* The command will not be answered any more; if no byte of it has left, it must not leave. */
static void unqueue(DinvQmpClient *client, guint64 id) {
    for (GList *link = client->outgoing.head; link != NULL; link = link->next) {
        Message *message = link->data;
        if (message->id == id && message->sent == 0) {
            message_free(message);
            g_queue_delete_link(&client->outgoing, link);
            break;
        }
    }
    dinv_qmp_commands_update_output(client);
}

static gboolean call_on_deadline(gpointer user) {
    Call *call = user;
    DinvQmpClient *client = dinv_qmp_client_ref(call->client);
    g_tree_steal(client->pending, &call->id);
    g_autoptr(GError) error = NULL;
    if (client->state == DINV_QMP_STATE_BROKEN) {
        error = g_error_copy(client->reason);
    } else {
        unqueue(client, call->id);
        error = g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT,
                            "QEMU did not answer %s in time", call->command);
    }
    end_call(call, NULL, error);
    dinv_qmp_client_unref(client);
    return G_SOURCE_REMOVE;
}

/* ---- new commands ---- */

/* A Call whose deadline `milliseconds` from now is its end if nothing else is. */
static Call *add_call(DinvQmpClient *client, const char *command, guint milliseconds,
                      DinvQmpReply reply, gpointer user) {
    Call *call = g_new0(Call, 1);
    call->id = ++client->last_id;
    call->command = g_strdup(command);
    call->client = client;
    call->reply = reply;
    call->user = user;
    call->deadline = dinv_qmp_timeout_attach(client, milliseconds, call_on_deadline, call);
    g_tree_insert(client->pending, &call->id, call);
    return call;
}

static Message *message_new(guint64 id, const char *command, struct json_object *arguments) {
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "execute", json_object_new_string(command));
    json_object_object_add(object, "id", json_object_new_int64((gint64)id));
    if (arguments != NULL) {
        json_object_object_add(object, "arguments", arguments);
    }
    Message *message = g_new0(Message, 1);
    message->id = id;
    message->text =
        g_strconcat(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), "\n", NULL);
    message->len = strlen(message->text);
    json_object_put(object);
    return message;
}

void dinv_qmp_client_call(DinvQmpClient *client, const char *command, struct json_object *arguments,
                          guint deadline_ms, DinvQmpReply reply, gpointer user) {
    if (client->state == DINV_QMP_STATE_BROKEN) {
        if (arguments != NULL) {
            json_object_put(arguments);
        }
        add_call(client, command, 0, reply, user);
        return;
    }
    const Call *call = add_call(client, command, deadline_ms, reply, user);
    g_queue_push_tail(&client->outgoing, message_new(call->id, command, arguments));
    dinv_qmp_commands_update_output(client);
}

void dinv_qmp_commands_shake_hands(DinvQmpClient *client) {
    client->handshake_id = ++client->last_id;
    g_queue_push_head(&client->outgoing,
                      message_new(client->handshake_id, "qmp_capabilities", NULL));
    dinv_qmp_commands_update_output(client);
}

/* ---- writing ---- */

void dinv_qmp_commands_drop_outgoing(DinvQmpClient *client) {
    Message *message;
    while ((message = g_queue_pop_head(&client->outgoing)) != NULL) {
        message_free(message);
    }
}

static gboolean qmp_on_writable(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    DinvQmpClient *client = user;
    Message *message = g_queue_peek_head(&client->outgoing);
    gssize n = send(fd, message->text + message->sent, message->len - message->sent, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            /* The peer is going; what it still said, SHUTDOWN for one, is to be read first. The
             * reader finds the end and breaks off. */
            g_debug("qmp: write: %s", g_strerror(errno));
            dinv_qmp_commands_drop_outgoing(client);
            dinv_qmp_commands_update_output(client);
        }
        return G_SOURCE_CONTINUE;
    }
    message->sent += (gsize)n;
    if (message->sent == message->len) {
        message_free(g_queue_pop_head(&client->outgoing));
        dinv_qmp_commands_update_output(client);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean may_send(const DinvQmpClient *client) {
    const Message *message = g_queue_peek_head((GQueue *)&client->outgoing);
    return message != NULL &&
           (client->state == DINV_QMP_STATE_RUNNING ||
            (client->state == DINV_QMP_STATE_CAPABILITIES && message->id == client->handshake_id));
}

void dinv_qmp_commands_update_output(DinvQmpClient *client) {
    if (!may_send(client)) {
        dinv_qmp_source_clear(&client->output);
    } else if (client->output == NULL) {
        client->output = g_unix_fd_source_new(client->fd, G_IO_OUT);
        g_source_set_callback(client->output, G_SOURCE_FUNC(qmp_on_writable), client, NULL);
        g_source_attach(client->output, client->context);
    }
}

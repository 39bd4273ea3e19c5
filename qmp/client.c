/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation.
 *
 * The server speaks first (the greeting), we answer with qmp_capabilities, and only then it takes
 * commands. The handshake is the state machine below; set_state() is the only place that changes
 * it.
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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/reader.h"

#define READ_CHUNK 65536u

typedef enum {
    STATE_GREETING,     /* nothing may be sent */
    STATE_CAPABILITIES, /* only qmp_capabilities may be sent, and it was */
    STATE_RUNNING,
    STATE_BROKEN, /* no socket any more */
} State;

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
    int fd; /* goes with the first byte; -1: none (any more) */
} Message;

struct DinvQmpClient {
    gatomicrefcount references;
    gboolean closed;
    State state;
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

G_DEFINE_QUARK(dinv - qmp - error - quark, dinv_qmp_error)

static void update_output(DinvQmpClient *client);

/* ---- memory ---- */

static void message_free(Message *message) {
    if (message->fd >= 0) {
        (void)close(message->fd);
    }
    g_free(message->text);
    g_free(message);
}

static void call_free(Call *call) {
    if (call->deadline != NULL) {
        g_source_destroy(call->deadline);
        g_source_unref(call->deadline);
    }
    g_free(call->command);
    g_free(call);
}

static void source_clear(GSource **source) {
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static int compare_ids(gconstpointer a, gconstpointer b, gpointer user G_GNUC_UNUSED) {
    const guint64 *left = a;
    const guint64 *right = b;

    return (*left > *right) - (*left < *right);
}

static void drop_outgoing(DinvQmpClient *client) {
    Message *message;

    while ((message = g_queue_pop_head(&client->outgoing)) != NULL) {
        message_free(message);
    }
}

/* Everything that belongs to the connection; the client may live on as BROKEN. */
static void disconnect(DinvQmpClient *client) {
    source_clear(&client->input);
    source_clear(&client->output);
    source_clear(&client->handshake_deadline);
    drop_outgoing(client);
    if (client->fd >= 0) {
        (void)close(client->fd);
        client->fd = -1;
    }
}

static void client_unref(DinvQmpClient *client) {
    if (!g_atomic_ref_count_dec(&client->references)) {
        return;
    }
    dinv_qmp_reader_free(client->reader);
    g_tree_unref(client->pending);
    g_main_context_unref(client->context);
    g_clear_error(&client->reason);
    g_free(client);
}

static DinvQmpClient *client_ref(DinvQmpClient *client) {
    g_atomic_ref_count_inc(&client->references);
    return client;
}

/* ---- state ---- */

static const char *state_name(State state) {
    static const char *const names[] = {"greeting", "capabilities", "running", "broken"};

    return names[state];
}

static void set_state(DinvQmpClient *client, State state) {
    static const gboolean allowed[4][4] = {
        [STATE_GREETING] = {[STATE_CAPABILITIES] = TRUE, [STATE_BROKEN] = TRUE},
        [STATE_CAPABILITIES] = {[STATE_RUNNING] = TRUE, [STATE_BROKEN] = TRUE},
        [STATE_RUNNING] = {[STATE_BROKEN] = TRUE},
    };

    g_assert(allowed[client->state][state]);
    g_debug("qmp: %s -> %s", state_name(client->state), state_name(state));
    client->state = state;
}

/* Ends one call. The client may be gone afterwards, unless the caller holds a reference. */
static void finish_call(Call *call, struct json_object *result, const GError *error) {
    DinvQmpReply reply = call->reply;
    gpointer user = call->user;

    call_free(call);
    if (reply != NULL) {
        reply(result, error, user);
    }
}

static void fail_pending(DinvQmpClient *client, const GError *error) {
    GTreeNode *node;

    /* A callback may add a call (which then fails by itself, later) or free the client, which
     * empties the tree: so always the first, and never beyond what there was. */
    guint64 last = client->last_id;
    while ((node = g_tree_node_first(client->pending)) != NULL) {
        Call *call = g_tree_node_value(node);

        if (call->id > last) {
            break;
        }
        g_tree_steal(client->pending, &call->id);
        finish_call(call, NULL, error);
    }
}

/* The end of the connection; takes over `reason`. */
static void break_off(DinvQmpClient *client, GError *reason) {
    g_debug("qmp: %s", reason->message);
    set_state(client, STATE_BROKEN);
    disconnect(client);
    client->reason = reason;
    fail_pending(client, reason);
    if (!client->closed && client->callbacks.disconnected != NULL) {
        client->callbacks.disconnected(client, reason, client->user);
    }
}

/* ---- commands ---- */

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
    update_output(client);
}

static gboolean on_deadline(gpointer user) {
    Call *call = user;
    g_autoptr(GError) error = NULL;
    DinvQmpClient *client = client_ref(call->client);

    g_tree_steal(client->pending, &call->id);
    if (client->state == STATE_BROKEN) {
        error = g_error_copy(client->reason);
    } else {
        unqueue(client, call->id);
        error = g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT,
                            "QEMU did not answer %s in time", call->command);
    }
    finish_call(call, NULL, error);
    client_unref(client);
    return G_SOURCE_REMOVE;
}

static GSource *attach_timeout(DinvQmpClient *client, guint milliseconds, GSourceFunc function,
                               gpointer user) {
    GSource *source = g_timeout_source_new(milliseconds);

    g_source_set_callback(source, function, user, NULL);
    g_source_attach(source, client->context);
    return source;
}

/* A Call whose deadline `milliseconds` from now is its end if nothing else is. */
static Call *add_call(DinvQmpClient *client, const char *command, guint milliseconds,
                      DinvQmpReply reply, gpointer user) {
    Call *call = g_new0(Call, 1);

    call->id = ++client->last_id;
    call->command = g_strdup(command);
    call->client = client;
    call->reply = reply;
    call->user = user;
    call->deadline = attach_timeout(client, milliseconds, on_deadline, call);
    g_tree_insert(client->pending, &call->id, call);
    return call;
}

static Message *new_message(guint64 id, const char *command, struct json_object *arguments,
                            int fd) {
    Message *message = g_new0(Message, 1);
    struct json_object *object = json_object_new_object();
    const char *text;

    json_object_object_add(object, "execute", json_object_new_string(command));
    json_object_object_add(object, "id", json_object_new_int64((gint64)id));
    if (arguments != NULL) {
        json_object_object_add(object, "arguments", arguments);
    }
    text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    message->id = id;
    message->text = g_strconcat(text, "\n", NULL);
    message->len = strlen(message->text);
    message->fd = fd;
    json_object_put(object);
    return message;
}

void dinv_qmp_client_call_with_fd(DinvQmpClient *client, const char *command,
                                  struct json_object *arguments, int fd, guint deadline_ms,
                                  DinvQmpReply reply, gpointer user) {
    Message *message;

    if (client->state == STATE_BROKEN) {
        if (arguments != NULL) {
            json_object_put(arguments);
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        add_call(client, command, 0, reply, user);
        return;
    }
    message = new_message(add_call(client, command, deadline_ms, reply, user)->id, command,
                          arguments, fd);
    g_queue_push_tail(&client->outgoing, message);
    update_output(client);
}

void dinv_qmp_client_call(DinvQmpClient *client, const char *command, struct json_object *arguments,
                          guint deadline_ms, DinvQmpReply reply, gpointer user) {
    dinv_qmp_client_call_with_fd(client, command, arguments, -1, deadline_ms, reply, user);
}

/* ---- writing ---- */

/* As write(2), with the message's descriptor if it has not gone yet. */
static gssize send_piece(int fd, Message *message) {
    struct iovec iov = {.iov_base = message->text + message->sent,
                        .iov_len = message->len - message->sent};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    if (message->fd >= 0) {
        struct cmsghdr *cmsg;

        header.msg_control = control.bytes;
        header.msg_controllen = sizeof(control.bytes);
        cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &message->fd, sizeof(int));
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL);
}

static gboolean on_writable(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    DinvQmpClient *client = user;
    Message *message = g_queue_peek_head(&client->outgoing);
    gssize n = send_piece(fd, message);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            /* The peer is going; what it still said, SHUTDOWN for one, is to be read first. The
             * reader finds the end and breaks off. */
            g_debug("qmp: write: %s", g_strerror(errno));
            drop_outgoing(client);
            update_output(client);
        }
        return G_SOURCE_CONTINUE;
    }
    if (message->fd >= 0) {
        (void)close(message->fd);
        message->fd = -1;
    }
    message->sent += (gsize)n;
    if (message->sent == message->len) {
        message_free(g_queue_pop_head(&client->outgoing));
        update_output(client);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean may_send(const DinvQmpClient *client) {
    const Message *message = g_queue_peek_head((GQueue *)&client->outgoing);

    return message != NULL &&
           (client->state == STATE_RUNNING ||
            (client->state == STATE_CAPABILITIES && message->id == client->handshake_id));
}

/* The G_IO_OUT watch exists exactly while something may be sent. */
static void update_output(DinvQmpClient *client) {
    if (!may_send(client)) {
        source_clear(&client->output);
    } else if (client->output == NULL) {
        client->output = g_unix_fd_source_new(client->fd, G_IO_OUT);
        g_source_set_callback(client->output, G_SOURCE_FUNC(on_writable), client, NULL);
        g_source_attach(client->output, client->context);
    }
}

/* ---- reading ---- */

static gboolean protocol_error(GError **error, const char *what) {
    g_set_error(error, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL, "QMP: %s", what);
    return FALSE;
}

static gboolean on_handshake_deadline(gpointer user) {
    DinvQmpClient *client = client_ref(user);

    break_off(client, g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT,
                                  "QEMU's monitor did not come up in time"));
    client_unref(client);
    return G_SOURCE_REMOVE;
}

static gboolean handle_greeting(DinvQmpClient *client, GError **error) {
    Message *message;

    if (client->state != STATE_GREETING) {
        return protocol_error(error, "a second greeting");
    }
    set_state(client, STATE_CAPABILITIES);
    /* No Call: the handshake has its own deadline, and its reply goes to handle_reply(). */
    client->handshake_id = ++client->last_id;
    message = new_message(client->handshake_id, "qmp_capabilities", NULL, -1);
    g_queue_push_head(&client->outgoing, message);
    update_output(client);
    return TRUE;
}

static void handle_event(DinvQmpClient *client, struct json_object *name,
                         struct json_object *message) {
    struct json_object *data = NULL;

    if (client->callbacks.event == NULL) {
        return;
    }
    if (json_object_object_get_ex(message, "data", &data) &&
        !json_object_is_type(data, json_type_object)) {
        data = NULL;
    }
    client->callbacks.event(client, json_object_get_string(name), data, client->user);
}

static GError *command_error(const char *command, struct json_object *error) {
    struct json_object *text = NULL;
    g_autofree char *valid = NULL;

    if (!json_object_object_get_ex(error, "desc", &text) ||
        !json_object_is_type(text, json_type_string)) {
        return g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND, "QEMU refused %s", command);
    }
    valid = g_utf8_make_valid(json_object_get_string(text), json_object_get_string_len(text));
    return g_error_new(DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND, "QEMU refused %s: %s", command,
                       valid);
}

/* A reply: exactly one of `result` and `refusal` is not NULL. */
static gboolean handle_reply(DinvQmpClient *client, struct json_object *id,
                             struct json_object *result, struct json_object *refusal,
                             GError **error) {
    guint64 number = 0;
    Call *call;

    if (!json_object_is_type(id, json_type_int)) {
        return protocol_error(error,
                              refusal != NULL ? "an error without an id" : "a reply without an id");
    }
    number = json_object_get_uint64(id);
    if (client->state == STATE_CAPABILITIES && number == client->handshake_id) {
        if (refusal != NULL) {
            g_propagate_error(error, command_error("qmp_capabilities", refusal));
            return FALSE;
        }
        set_state(client, STATE_RUNNING);
        source_clear(&client->handshake_deadline);
        update_output(client);
        return TRUE;
    }
    call = g_tree_lookup(client->pending, &number);
    if (call == NULL) {
        g_debug("qmp: a reply to the unknown or expired id %" G_GUINT64_FORMAT ", ignoring",
                number);
        return TRUE;
    }
    if (client->state != STATE_RUNNING) {
        return protocol_error(error, "a reply to a command that was not sent");
    }
    g_tree_steal(client->pending, &call->id);
    if (refusal != NULL) {
        g_autoptr(GError) reason = command_error(call->command, refusal);
        finish_call(call, NULL, reason);
    } else {
        finish_call(call, result, NULL);
    }
    return TRUE;
}

/* FALSE with `error`: the client is to be broken off. May have run callbacks. */
static gboolean handle_message(DinvQmpClient *client, struct json_object *message, GError **error) {
    struct json_object *value = NULL;
    struct json_object *id = NULL;

    if (json_object_object_get_ex(message, "QMP", &value)) {
        return handle_greeting(client, error);
    }
    if (client->state == STATE_GREETING) {
        return protocol_error(error, "the peer did not begin with a greeting");
    }
    if (json_object_object_get_ex(message, "event", &value) &&
        json_object_is_type(value, json_type_string)) {
        handle_event(client, value, message);
        return TRUE;
    }
    (void)json_object_object_get_ex(message, "id", &id);
    if (json_object_object_get_ex(message, "return", &value) && value != NULL) {
        return handle_reply(client, id, value, NULL, error);
    }
    if (json_object_object_get_ex(message, "error", &value) &&
        json_object_is_type(value, json_type_object)) {
        return handle_reply(client, id, NULL, value, error);
    }
    return protocol_error(error, "a message that is no greeting, event or reply");
}

/* All messages in `bytes`. FALSE with `error`: the client is to be broken off. */
static gboolean feed(DinvQmpClient *client, const char *bytes, gsize len, GError **error) {
    for (;;) {
        struct json_object *message = NULL;
        gboolean good;

        if (!dinv_qmp_reader_next(client->reader, &bytes, &len, &message, error)) {
            return FALSE;
        }
        if (message == NULL) {
            return TRUE;
        }
        good = handle_message(client, message, error);
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

static gboolean on_readable(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    DinvQmpClient *client = user;
    g_autofree char *bytes = g_malloc(READ_CHUNK);
    GError *error = NULL;
    gssize n = read(fd, bytes, READ_CHUNK);
    int number = errno;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    client_ref(client);
    if (n <= 0) {
        error = end_of_input(client, n, number);
    } else if (feed(client, bytes, (gsize)n, &error)) {
        g_assert(error == NULL);
    }
    if (error != NULL) {
        break_off(client, error);
    }
    client_unref(client);
    return G_SOURCE_CONTINUE; /* or the source is destroyed by now: then this means nothing */
}

/* ---- life ---- */

DinvQmpClient *dinv_qmp_client_new(int fd, guint handshake_ms, const DinvQmpCallbacks *callbacks,
                                   gpointer user) {
    DinvQmpClient *client = g_new0(DinvQmpClient, 1);

    g_atomic_ref_count_init(&client->references);
    client->state = STATE_GREETING;
    client->fd = fd;
    client->context = g_main_context_ref_thread_default();
    client->reader = dinv_qmp_reader_new();
    client->pending = g_tree_new_full(compare_ids, NULL, NULL, NULL);
    client->callbacks = *callbacks;
    client->user = user;
    g_queue_init(&client->outgoing);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    client->input = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(client->input, G_SOURCE_FUNC(on_readable), client, NULL);
    g_source_attach(client->input, client->context);
    client->handshake_deadline =
        attach_timeout(client, handshake_ms, on_handshake_deadline, client);
    return client;
}

gboolean dinv_qmp_client_is_running(const DinvQmpClient *client) {
    return client->state == STATE_RUNNING;
}

void dinv_qmp_client_free(DinvQmpClient *client) {
    g_autoptr(GError) error = NULL;

    if (client == NULL) {
        return;
    }
    client->closed = TRUE;
    disconnect(client);
    error = g_error_new_literal(DINV_QMP_ERROR, DINV_QMP_ERROR_CLOSED, "the QMP client was closed");
    fail_pending(client, error);
    client_unref(client);
}

/* SPDX-License-Identifier: MIT */
/* Lines of JSON over a socket: a buffer each way, and a table of requests that wait for replies. */
#include "launcher/vm/control.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"
#include "wire/control.h"
#include "wire/verbs.h"

#define READ_CHUNK 16384u
/* What a channel that has ended may still hold: more than any socket buffer. */
#define DRAIN_MAX_BYTES (4u << 20)

typedef struct {
    DinvVmControl *control;
    gint64 id;
    guint timeout_source;
    gboolean unsent;
    DinvVmControlReply callback;
    gpointer user;
} Request;

struct DinvVmControl {
    int fd;
    guint read_source;
    guint write_source;
    DinvVmControlCallbacks callbacks;
    gpointer user;
    GByteArray *input;
    gboolean skipping_line; /* the rest of a line that was too long */
    gboolean complained;    /* about a line that breaks the protocol: said once */
    GByteArray *output;
    GHashTable *requests; /* gint64* -> Request*, owned */
    gint64 last_id;
};

G_DEFINE_QUARK(dinv - control - error - quark, dinv_vm_control_error)

static void control_request_free(gpointer data) {
    Request *request = data;
    g_clear_handle_id(&request->timeout_source, g_source_remove);
    g_free(request);
}

/* Ends a request: takes it out of the table first, so that its callback may make new ones. */
static void control_complete(Request *request, struct json_object *reply, const GError *error) {
    gint64 id = request->id;
    g_hash_table_steal(request->control->requests, &id);
    if (request->callback != NULL) {
        request->callback(reply, error, request->user);
    }
    control_request_free(request);
}

static void control_fail_all(DinvVmControl *control) {
    g_autoptr(GError) error = g_error_new(DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED,
                                          "the control channel was closed");
    GHashTableIter iter;
    gpointer value = NULL;
    g_hash_table_iter_init(&iter, control->requests);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        control_complete(value, NULL, error);
        g_hash_table_iter_init(&iter, control->requests);
    }
}

static void close_channel(DinvVmControl *control) {
    if (control->fd < 0) {
        return;
    }
    g_clear_handle_id(&control->read_source, g_source_remove);
    g_clear_handle_id(&control->write_source, g_source_remove);
    (void)close(control->fd);
    control->fd = -1;
    control_fail_all(control);
    control->callbacks.closed(control->user);
}

static const char *get_string(struct json_object *message, const char *key, const char *fallback) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(message, key, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return fallback;
    }
    return json_object_get_string(value);
}

static gint64 get_int(struct json_object *message, const char *key) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(message, key, &value) ||
        !json_object_is_type(value, json_type_int)) {
        return 0;
    }
    return json_object_get_int64(value);
}

static gboolean get_bool(struct json_object *message, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(message, key, &value) &&
           json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

static DinvLogLevel parse_level(const char *name) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return (DinvLogLevel)i;
        }
    }
    return DINV_LOG_INFO;
}

static void control_handle_event(DinvVmControl *control, const char *event,
                                 struct json_object *message) {
    const DinvVmControlCallbacks *callbacks = &control->callbacks;
    gint64 uptime_us = get_int(message, "uptime_us");
    if (strcmp(event, DINV_WIRE_EVENT_HELLO) == 0) {
        callbacks->hello(get_int(message, "protocol"), get_string(message, "version", "?"),
                         get_string(message, "kernel", "?"), uptime_us, control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_PHASE) == 0) {
        callbacks->phase(get_string(message, "name", "?"), uptime_us, control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_READY) == 0) {
        callbacks->ready(get_string(message, "engine", "?"), uptime_us, control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_LOG) == 0) {
        callbacks->log(parse_level(get_string(message, "level", "info")),
                       get_string(message, "text", ""), control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_FAILED) == 0) {
        callbacks->failed(get_string(message, "what", "?"), get_string(message, "text", "?"),
                          get_string(message, "log", NULL), control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_DAMAGED) == 0) {
        callbacks->damaged(get_string(message, "disk", "?"), control->user);
    } else if (strcmp(event, DINV_WIRE_EVENT_EXIT) == 0) {
        callbacks->exiting(get_bool(message, "clean"), control->user);
    } else {
        g_debug("control: unknown event, ignoring");
    }
}

static void control_handle_reply(DinvVmControl *control, struct json_object *message) {
    gint64 id = get_int(message, "reply");
    Request *request = g_hash_table_lookup(control->requests, &id);
    if (request == NULL) {
        g_debug("control: reply to no request of ours (it timed out?), ignoring");
        return;
    }
    const char *text = get_string(message, "error", NULL);
    if (text != NULL || !get_bool(message, "ok")) {
        g_autofree char *printable = dinv_log_printable(text != NULL ? text : "a reply without ok");
        g_autoptr(GError) error =
            g_error_new_literal(DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_REFUSED, printable);
        control_complete(request, NULL, error);
    } else {
        control_complete(request, message, NULL);
    }
}

static void control_complain(DinvVmControl *control, const char *text) {
    if (!control->complained) {
        control->complained = TRUE;
        dinv_log(DINV_LOG_WARNING, "the guest sent a control line %s, ignoring all such lines",
                 text);
    }
}

static void control_handle_line(DinvVmControl *control, const char *line, gsize length) {
    struct json_object *message =
        g_utf8_validate_len(line, length, NULL)
            ? dinv_json_text_parse(line, length, DINV_WIRE_CONTROL_DEPTH_MAX)
            : NULL;
    if (!json_object_is_type(message, json_type_object)) {
        control_complain(control, "that is not a JSON object in UTF-8");
        json_object_put(message);
        return;
    }
    const char *event = get_string(message, "event", NULL);
    if (event != NULL) {
        control_handle_event(control, event, message);
    } else if (json_object_object_get_ex(message, "reply", NULL)) {
        control_handle_reply(control, message);
    } else if (get_int(message, "id") > 0) {
        control->callbacks.request(get_int(message, "id"), get_string(message, "verb", ""), message,
                                   control->user);
    }
    json_object_put(message);
}

/* Handles the whole lines in `input` and drops lines over the limit. */
static void handle_input(DinvVmControl *control) {
    for (;;) {
        GByteArray *input = control->input;
        const guint8 *newline = input->len > 0 ? memchr(input->data, '\n', input->len) : NULL;
        if (newline == NULL) {
            break;
        }
        guint length = (guint)(newline - input->data);
        if (!control->skipping_line) {
            g_autofree char *line = g_strndup((const char *)input->data, length);
            g_byte_array_remove_range(input, 0, length + 1);
            control_handle_line(control, line, length);
        } else {
            g_byte_array_remove_range(input, 0, length + 1);
            control->skipping_line = FALSE;
        }
    }
    if (control->input->len > DINV_WIRE_CONTROL_LINE_MAX) {
        control_complain(control, "over 1 MiB");
        control->skipping_line = TRUE;
        g_byte_array_set_size(control->input, 0);
    }
}

/* How many bytes came, 0 for none now, -1 for never again. */
static ssize_t control_read_some(DinvVmControl *control) {
    guint8 chunk[READ_CHUNK];
    ssize_t got = read(control->fd, chunk, sizeof chunk);
    if (got > 0) {
        g_byte_array_append(control->input, chunk, (guint)got);
        handle_input(control);
        return got;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static gboolean control_on_readable(int fd, GIOCondition condition, gpointer user) {
    DinvVmControl *control = user;
    (void)fd;
    (void)condition;
    if (control_read_some(control) >= 0) {
        return G_SOURCE_CONTINUE;
    }
    control->read_source = 0;
    close_channel(control);
    return G_SOURCE_REMOVE;
}

void dinv_vm_control_drain(DinvVmControl *control) {
    gsize drained = 0;
    ssize_t got = 1;
    while (control->fd >= 0 && got > 0 && drained < DRAIN_MAX_BYTES) {
        got = control_read_some(control);
        drained += got > 0 ? (gsize)got : 0;
    }
    if (got < 0) {
        close_channel(control);
    }
}

static gboolean control_on_writable(int fd, GIOCondition condition, gpointer user) {
    DinvVmControl *control = user;
    (void)condition;
    ssize_t sent = send(fd, control->output->data, control->output->len, MSG_NOSIGNAL);
    if (sent > 0) {
        g_byte_array_remove_range(control->output, 0, (guint)sent);
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        /* The reader sees the end of the channel too, and reports it. */
        g_byte_array_set_size(control->output, 0);
    }
    if (control->output->len > 0) {
        return G_SOURCE_CONTINUE;
    }
    control->write_source = 0;
    return G_SOURCE_REMOVE;
}

static gboolean control_on_timeout(gpointer user) {
    Request *request = user;
    request->timeout_source = 0;
    g_autoptr(GError) error =
        request->unsent ? g_error_new(DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED,
                                      "the control channel was closed")
                        : g_error_new(DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_TIMEOUT,
                                      "the guest did not answer in time");
    control_complete(request, NULL, error);
    return G_SOURCE_REMOVE;
}

/* Takes `message`. FALSE when the channel has ended, or the guest does not read it. */
static gboolean control_send_message(DinvVmControl *control, struct json_object *message) {
    gboolean open = control->fd >= 0 && control->output->len <= DINV_WIRE_CONTROL_QUEUE_MAX;
    if (open) {
        const char *text = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN);
        g_byte_array_append(control->output, (const guint8 *)text, (guint)strlen(text));
        g_byte_array_append(control->output, (const guint8 *)"\n", 1);
        if (control->write_source == 0) {
            control->write_source =
                g_unix_fd_add(control->fd, G_IO_OUT, control_on_writable, control);
        }
    }
    json_object_put(message);
    return open;
}

void dinv_vm_control_request(DinvVmControl *control, const char *verb, struct json_object *fields,
                             guint timeout_ms, DinvVmControlReply callback, gpointer user) {
    struct json_object *message = fields != NULL ? fields : json_object_new_object();
    Request *request = g_new0(Request, 1);
    request->control = control;
    request->id = ++control->last_id;
    request->callback = callback;
    request->user = user;
    g_hash_table_insert(control->requests, &request->id, request);
    json_object_object_add(message, "id", json_object_new_int64(request->id));
    json_object_object_add(message, "verb", json_object_new_string(verb));
    /* What cannot be sent fails from the loop, as all others do. */
    request->unsent = !control_send_message(control, message);
    request->timeout_source =
        g_timeout_add(request->unsent ? 0 : timeout_ms, control_on_timeout, request);
}

void dinv_vm_control_reply(DinvVmControl *control, gint64 id, const char *error) {
    struct json_object *message = json_object_new_object();
    json_object_object_add(message, "reply", json_object_new_int64(id));
    if (error == NULL) {
        json_object_object_add(message, "ok", json_object_new_boolean(TRUE));
    } else {
        json_object_object_add(message, "error", json_object_new_string(error));
    }
    (void)control_send_message(control, message);
}

DinvVmControl *dinv_vm_control_new(int fd, const DinvVmControlCallbacks *callbacks, gpointer user) {
    DinvVmControl *control = g_new0(DinvVmControl, 1);
    control->fd = fd;
    control->callbacks = *callbacks;
    control->user = user;
    control->input = g_byte_array_new();
    control->output = g_byte_array_new();
    control->requests =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, control_request_free);
    control->read_source =
        g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, control_on_readable, control);
    return control;
}

void dinv_vm_control_free(DinvVmControl *control) {
    if (control == NULL) {
        return;
    }
    g_clear_handle_id(&control->read_source, g_source_remove);
    g_clear_handle_id(&control->write_source, g_source_remove);
    if (control->fd >= 0) {
        (void)close(control->fd);
        control->fd = -1; /* for requests that a callback makes now */
    }
    control_fail_all(control);
    g_hash_table_unref(control->requests);
    g_byte_array_unref(control->input);
    g_byte_array_unref(control->output);
    g_free(control);
}

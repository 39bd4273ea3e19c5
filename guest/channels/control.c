/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Bytes of the port are collected up to a newline and handed on as a line; a
 * line that is too long is skipped up to its end. Messages are queued whole in a buffer of bounded
 * size, so that a launcher that does not read costs messages, never memory, and never half a line.
 * What comes is the launcher's and is checked all the same: it may be of another version.
 */
#include "guest/channels/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/log.h"
#include "guest/base/utf8.h"
#include "guest/channels/port.h"
#include "wire/control.h"

typedef struct {
    char *bytes;
    size_t len;
    size_t cap;
} Buffer;

typedef struct PendingRequest PendingRequest;
struct PendingRequest {
    PendingRequest *next;
    int64_t id;
    DinvChannelControlAnswer answer;
    void *user;
};

struct DinvChannelControl {
    DinvChannelPort *port;
    DinvChannelControlCallbacks callbacks;
    void *user;
    Buffer input;
    bool skipping; /* within a line that is too long */
    Buffer output;
    size_t output_sent; /* bytes at the front of `output` that the port has taken */
    bool overflowed;
    PendingRequest *requests; /* of ours, not answered yet */
    int64_t last_id;
};

static bool buffer_append(Buffer *buffer, const void *bytes, size_t len) {
    if (len == 0) {
        return true;
    }
    if (len > buffer->cap - buffer->len) {
        size_t cap = buffer->cap == 0 ? 4096 : buffer->cap;
        while (cap - buffer->len < len) {
            cap *= 2;
        }
        char *grown = realloc(buffer->bytes, cap);
        if (grown == NULL) {
            return false;
        }
        buffer->bytes = grown;
        buffer->cap = cap;
    }
    memcpy(buffer->bytes + buffer->len, bytes, len);
    buffer->len += len;
    return true;
}

static void buffer_clear(Buffer *buffer) {
    free(buffer->bytes);
    *buffer = (Buffer){0};
}

static void flush_control(DinvChannelControl *control) {
    Buffer *output = &control->output;
    while (control->output_sent < output->len) {
        ssize_t taken = dinv_channel_port_write(control->port, output->bytes + control->output_sent,
                                                output->len - control->output_sent);
        if (taken < 0) {
            return;
        }
        control->output_sent += (size_t)taken;
    }
    buffer_clear(output);
    control->output_sent = 0;
}

/* Moves what the port has not taken to the front of the buffer, and the line behind it. */
static bool queue_line(DinvChannelControl *control, const char *line, size_t len) {
    Buffer *output = &control->output;
    if (control->output_sent > 0) {
        output->len -= control->output_sent;
        memmove(output->bytes, output->bytes + control->output_sent, output->len);
        control->output_sent = 0;
    }
    size_t before = output->len;
    bool queued = buffer_append(output, line, len) && buffer_append(output, "\n", 1);
    if (!queued) {
        output->len = before;
    }
    return queued;
}

/* Takes `object` over. Whether it will be sent. */
static bool send_object(DinvChannelControl *control, struct json_object *object) {
    size_t len = 0;
    const char *text =
        object == NULL ? NULL
                       : json_object_to_json_string_length(
                             object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    /* A path in a sentence may be any bytes. The launcher drops a line that is not UTF-8. */
    char *line = text != NULL ? dinv_utf8_make_valid(text, len) : NULL;
    json_object_put(object);
    len = line != NULL ? strlen(line) : 0;
    bool queued = false;
    if (line == NULL) {
        dinv_log_error("out of memory for a control message");
    } else if (!dinv_channel_port_is_connected(control->port)) {
        ; /* nobody to read it */
    } else if (len + 1 >
               DINV_WIRE_CONTROL_QUEUE_MAX - (control->output.len - control->output_sent)) {
        if (!control->overflowed) {
            control->overflowed = true;
            dinv_log_error("the launcher does not read the control channel, messages are lost");
        }
    } else {
        queued = queue_line(control, line, len);
        flush_control(control);
    }
    free(line);
    return queued;
}

static void copy_fields(struct json_object *to, struct json_object *from) {
    if (from == NULL) {
        return;
    }
    json_object_object_foreach(from, key, value) {
        json_object_object_add(to, key, json_object_get(value));
    }
    json_object_put(from);
}

void dinv_channel_control_send_event(DinvChannelControl *control, const char *name,
                                     struct json_object *fields) {
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "event", json_object_new_string(name));
    copy_fields(object, fields);
    (void)send_object(control, object);
}

void dinv_channel_control_reply(DinvChannelControl *control, int64_t id,
                                struct json_object *results) {
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "reply", json_object_new_int64(id));
    json_object_object_add(object, "ok", json_object_new_boolean(true));
    copy_fields(object, results);
    (void)send_object(control, object);
}

void dinv_channel_control_reply_error(DinvChannelControl *control, int64_t id, const char *text) {
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "reply", json_object_new_int64(id));
    json_object_object_add(object, "error", json_object_new_string(text));
    (void)send_object(control, object);
}

int dinv_channel_control_request(DinvChannelControl *control, const char *verb,
                                 struct json_object *fields, DinvChannelControlAnswer answer,
                                 void *user) {
    PendingRequest *request = calloc(1, sizeof *request);
    if (request == NULL || !dinv_channel_port_is_connected(control->port)) {
        json_object_put(fields);
        free(request);
        return -ENOTCONN;
    }
    *request = (PendingRequest){
        .next = control->requests, .id = ++control->last_id, .answer = answer, .user = user};
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "id", json_object_new_int64(request->id));
    json_object_object_add(object, "verb", json_object_new_string(verb));
    copy_fields(object, fields);
    if (!send_object(control, object)) {
        free(request);
        return -ENOBUFS;
    }
    control->requests = request;
    return 0;
}

static void answer_request(PendingRequest *request, const char *error) {
    request->answer(request->user, error);
    free(request);
}

static void handle_launcher_reply(DinvChannelControl *control, const DinvMessage *message) {
    for (PendingRequest **link = &control->requests; *link != NULL; link = &(*link)->next) {
        PendingRequest *request = *link;
        if (request->id != message->reply) {
            continue;
        }
        struct json_object *value;
        const char *error = "the launcher did not say yes";
        if (json_object_object_get_ex(message->body, "error", &value) &&
            json_object_is_type(value, json_type_string)) {
            error = json_object_get_string(value);
        } else if (json_object_object_get_ex(message->body, "ok", &value) &&
                   json_object_get_boolean(value)) {
            error = NULL;
        }
        *link = request->next;
        answer_request(request, error);
        return;
    }
}

static void fail_requests(DinvChannelControl *control) {
    while (control->requests != NULL) {
        PendingRequest *request = control->requests;
        control->requests = request->next;
        answer_request(request, "the launcher has gone");
    }
}

static void handle_control_line(DinvChannelControl *control, const char *line, size_t len) {
    DinvMessage message;
    const char *reason = "";
    if (dinv_message_parse(line, len, &message, &reason) == 0) {
        if (message.reply > 0) {
            handle_launcher_reply(control, &message);
        } else {
            control->callbacks.request(control->user, &message);
        }
    } else {
        dinv_log_warning("control channel: %s, ignoring", reason);
        if (message.id > 0) {
            dinv_channel_control_reply_error(control, message.id, reason);
        }
    }
    dinv_message_clear(&message);
}

/* Adds to the line being collected; a line that grows too long is dropped up to its end. */
static void collect_line(DinvChannelControl *control, const uint8_t *bytes, size_t len) {
    if (control->skipping) {
        return;
    }
    if (len > DINV_WIRE_CONTROL_LINE_MAX - control->input.len ||
        !buffer_append(&control->input, bytes, len)) {
        dinv_log_warning("control channel: a line is longer than %u bytes, ignoring",
                         DINV_WIRE_CONTROL_LINE_MAX);
        buffer_clear(&control->input);
        control->skipping = true;
    }
}

static void control_port_received(void *user, const uint8_t *bytes, size_t len) {
    DinvChannelControl *control = user;
    while (len > 0) {
        const uint8_t *newline = memchr(bytes, '\n', len);
        size_t part = newline != NULL ? (size_t)(newline - bytes) : len;
        collect_line(control, bytes, part);
        if (newline == NULL) {
            return;
        }
        if (!control->skipping && control->input.len > 0) {
            /* Out of the channel's hands first: the handler may see the channel reset. */
            Buffer line = control->input;
            control->input = (Buffer){0};
            handle_control_line(control, line.bytes, line.len);
            buffer_clear(&line);
        }
        control->skipping = false;
        bytes += part + 1;
        len -= part + 1;
    }
}

static void control_port_connected(void *user) {
    DinvChannelControl *control = user;
    control->callbacks.connected(control->user);
}

static void control_port_disconnected(void *user) {
    DinvChannelControl *control = user;
    buffer_clear(&control->input);
    buffer_clear(&control->output);
    control->output_sent = 0;
    control->skipping = false;
    control->overflowed = false;
    fail_requests(control);
}

static void control_port_writable(void *user) {
    flush_control(user);
}

DinvChannelControl *dinv_channel_control_new(DinvLoop *loop, int fd,
                                             const DinvChannelControlCallbacks *callbacks,
                                             void *user) {
    static const DinvChannelPortCallbacks port_callbacks = {
        .connected = control_port_connected,
        .disconnected = control_port_disconnected,
        .received = control_port_received,
        .writable = control_port_writable,
    };
    DinvChannelControl *control = calloc(1, sizeof *control);
    if (control == NULL) {
        return NULL;
    }
    control->port = dinv_channel_port_new(loop, fd, &port_callbacks, control);
    if (control->port == NULL) {
        free(control);
        return NULL;
    }
    control->callbacks = *callbacks;
    control->user = user;
    return control;
}

void dinv_channel_control_free(DinvChannelControl *control) {
    if (control == NULL) {
        return;
    }
    dinv_channel_port_free(control->port);
    while (control->requests != NULL) {
        PendingRequest *request = control->requests;
        control->requests = request->next;
        free(request);
    }
    buffer_clear(&control->input);
    buffer_clear(&control->output);
    free(control);
}

bool dinv_channel_control_is_drained(const DinvChannelControl *control) {
    return control->output.len == control->output_sent ||
           !dinv_channel_port_is_connected(control->port);
}

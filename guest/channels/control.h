/* SPDX-License-Identifier: MIT */
/*
 * The room guest/channels: the two byte streams to the launcher (port.h), and on one of them the
 * lines of the control channel. What the lines mean may not enter, nor who answers them.
 *
 * control.h: the guest's end of the control channel (docs/control-protocol.md): lines in, lines
 * out, always valid UTF-8. The channel comes and goes with the launcher; what is sent while nobody
 * is connected is dropped, as the launcher that comes next starts with a `hello` of its own.
 */
#pragma once

#include <stdbool.h>

#include "guest/base/loop.h"
#include "guest/base/message.h"

typedef struct DinvChannelControl DinvChannelControl;

typedef struct {
    /* A launcher is there: the place to send `hello`. */
    void (*connected)(void *user);
    /* A request came; it must be answered exactly once, now or later. Borrowed for the call. */
    void (*request)(void *user, const DinvMessage *message);
} DinvChannelControlCallbacks;

/* Takes over `fd`. `callbacks` is copied. NULL if out of memory: then `fd` is the caller's. */
DinvChannelControl *dinv_channel_control_new(DinvLoop *loop, int fd,
                                             const DinvChannelControlCallbacks *callbacks,
                                             void *user);
void dinv_channel_control_free(DinvChannelControl *control);

/* Queues {"event": name, …fields}; `fields` (an object, or NULL for none) is taken over. The order
 * of the calls is the order on the wire. Dropped when nobody is connected, or when the launcher
 * leaves more than 4 MiB unread. */
void dinv_channel_control_send_event(DinvChannelControl *control, const char *name,
                                     struct json_object *fields);
/* Queues the reply {"reply": id, "ok": true, …results}; `results` is like `fields` of an event. */
void dinv_channel_control_reply(DinvChannelControl *control, int64_t id,
                                struct json_object *results);
/* Queues the reply {"reply": id, "error": text}; `text` is for a person, and may be any bytes. */
void dinv_channel_control_reply_error(DinvChannelControl *control, int64_t id, const char *text);

/* The launcher's answer: `error` is NULL if it said yes, or a sentence; borrowed for the call. */
typedef void (*DinvChannelControlAnswer)(void *user, const char *error);
/* Sends the request {"id": …, "verb": verb, …fields}; `fields` is taken over. The answer comes
 * once, from the loop, at the latest when the launcher goes. -ENOTCONN or -ENOBUFS: it was not
 * sent, and no answer comes. */
int dinv_channel_control_request(DinvChannelControl *control, const char *verb,
                                 struct json_object *fields, DinvChannelControlAnswer answer,
                                 void *user);

/* Whether every queued byte was taken by the port, or there is nobody to take it. */
bool dinv_channel_control_is_drained(const DinvChannelControl *control);

/* SPDX-License-Identifier: MIT */
/*
 * message: one line of the control channel (docs/control-protocol.md) taken apart. No I/O.
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t id;               /* of the request; 0 if it had none that can be answered */
    int64_t reply;            /* id of the request of ours that this answers; 0: it is a request */
    const char *verb;         /* of a request; borrowed from `body` */
    struct json_object *body; /* the whole object */
} DinvMessage;

/* Parses one line (without its newline). 0, or -EBADMSG with *reason set to a sentence for a
 * person; message->id is set then too if the line had a usable one, so that it can be answered. To
 * be cleared in both cases. */
int dinv_message_parse(const char *line, size_t len, DinvMessage *message, const char **reason);
void dinv_message_clear(DinvMessage *message);

/* Parses text that must be one JSON object and nothing else, nested at most
 * DINV_WIRE_CONTROL_DEPTH_MAX deep, and valid UTF-8. The caller's (json_object_put); NULL if it is
 * not such an object. */
struct json_object *dinv_json_parse_object(const char *text, size_t len);

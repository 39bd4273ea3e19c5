/* SPDX-License-Identifier: MIT */
/* The bounds of a line (size, depth, UTF-8) are kept here, by the options of the parser. */
#include "guest/base/message.h"

#include <errno.h>

#include "wire/control.h"

struct json_object *dinv_json_parse_object(const char *text, size_t len) {
    if (len == 0 || len > DINV_WIRE_CONTROL_LINE_MAX) {
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(DINV_WIRE_CONTROL_DEPTH_MAX);
    if (tokener == NULL) {
        return NULL;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)len);
    /* Anything after the object but white space makes the line something else. */
    size_t end = json_tokener_get_parse_end(tokener);
    while (end < len && (text[end] == ' ' || text[end] == '\t' || text[end] == '\r')) {
        end++;
    }
    if (json_tokener_get_error(tokener) != json_tokener_success || end != len ||
        !json_object_is_type(object, json_type_object)) {
        json_object_put(object);
        object = NULL;
    }
    json_tokener_free(tokener);
    return object;
}

int dinv_message_parse(const char *line, size_t len, DinvMessage *message, const char **reason) {
    *message = (DinvMessage){0};
    message->body = dinv_json_parse_object(line, len);
    if (message->body == NULL) {
        *reason = "the line is not a JSON object";
        return -EBADMSG;
    }
    struct json_object *value;
    if (json_object_object_get_ex(message->body, "reply", &value) &&
        json_object_is_type(value, json_type_int) && json_object_get_int64(value) > 0) {
        message->reply = json_object_get_int64(value);
        return 0;
    }
    if (!json_object_object_get_ex(message->body, "id", &value) ||
        !json_object_is_type(value, json_type_int) || json_object_get_int64(value) <= 0) {
        *reason = "the request has no \"id\" that is a positive integer";
        return -EBADMSG;
    }
    message->id = json_object_get_int64(value);
    if (!json_object_object_get_ex(message->body, "verb", &value) ||
        !json_object_is_type(value, json_type_string)) {
        *reason = "the request has no \"verb\" that is a string";
        return -EBADMSG;
    }
    message->verb = json_object_get_string(value);
    return 0;
}

void dinv_message_clear(DinvMessage *message) {
    json_object_put(message->body);
    *message = (DinvMessage){0};
}

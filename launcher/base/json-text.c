/* SPDX-License-Identifier: MIT */
/* Thin layers over json-c: strict parsing of a whole text, and members of an object. */
#include "launcher/base/json-text.h"

struct json_object *dinv_json_text_parse(const char *text, gsize length, int depth) {
    while (length > 0 && g_ascii_isspace(text[length - 1])) {
        length--;
    }
    if (length == 0 || length > G_MAXINT) {
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(depth);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *value = json_tokener_parse_ex(tokener, text, (int)length);
    if (json_tokener_get_error(tokener) != json_tokener_success ||
        json_tokener_get_parse_end(tokener) != length) {
        json_object_put(value);
        value = NULL;
    }
    json_tokener_free(tokener);
    return value;
}

void dinv_json_add_string(struct json_object *object, const char *key, const char *value) {
    json_object_object_add(object, key, value != NULL ? json_object_new_string(value) : NULL);
}

void dinv_json_add_number(struct json_object *object, const char *key, guint64 value) {
    json_object_object_add(object, key, json_object_new_int64((gint64)value));
}

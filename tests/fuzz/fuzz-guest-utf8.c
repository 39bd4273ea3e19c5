/* SPDX-License-Identifier: MIT */
/* utf8: what containers print, and paths of any bytes. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* json-c's own validator, which the launcher's is as strict as. */
static void expect_json(const char *text) {
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "text", json_object_new_string(text));
    const char *line = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *read = json_tokener_parse_ex(tokener, line, -1);
    if (read == NULL ||
        strcmp(json_object_get_string(json_object_object_get(read, "text")), text) != 0) {
        abort();
    }
    json_object_put(read);
    json_tokener_free(tokener);
    json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    char *valid = dinv_utf8_make_valid(text, size);
    if (valid == NULL || strlen(valid) > size * DINV_UTF8_GROWTH) {
        abort();
    }
    expect_json(valid);
    size_t len = strlen(valid);
    char *again = dinv_utf8_make_valid(valid, len);
    if (again == NULL || strcmp(again, valid) != 0) { /* what is valid stays */
        abort();
    }
    free(again);
    /* Cut anywhere, by its length or by the room for it, it is the same text up to there. */
    for (size_t cap = 1; cap <= len && cap <= 64; cap++) {
        char small[64];
        size_t cut = dinv_utf8_cut(valid, cap - 1);
        if (dinv_utf8_copy(small, cap, valid, len) != cut || memcmp(small, valid, cut) != 0) {
            abort();
        }
        expect_json(small);
    }
    free(valid);
    return 0;
}

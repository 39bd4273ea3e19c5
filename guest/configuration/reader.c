/* SPDX-License-Identifier: MIT */
/* Types and syntax of single fields; what fields there are is for the other files to know. */
#include "guest/configuration/reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/utf8.h"
#include "mountinfo/mountinfo.h"
#include "wire/control.h"

enum { QUOTED_MAX = 100 };

void dinv_configuration_complain(DinvConfigurationReader *reader, const char *format, ...) {
    if (reader->error != 0) {
        return;
    }
    reader->error = -EBADMSG;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reader->reason, reader->reason_size, format, arguments);
    va_end(arguments);
}

void dinv_configuration_reject(DinvConfigurationReader *reader, const char *name, const char *text,
                               const char *what) {
    size_t len = strlen(text);
    len = len > QUOTED_MAX ? dinv_utf8_cut(text, QUOTED_MAX) : len;
    dinv_configuration_complain(reader, "%s: \"%.*s\" %s", name, (int)len, text, what);
}

struct json_object *dinv_configuration_field(const DinvConfigurationReader *reader,
                                             struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    if (reader->error == 0) {
        (void)json_object_object_get_ex(object, name, &value);
    }
    return value;
}

bool dinv_configuration_expect_object(DinvConfigurationReader *reader, struct json_object *value,
                                      const char *name) {
    if (reader->error == 0 && !json_object_is_type(value, json_type_object)) {
        dinv_configuration_complain(reader, "%s: an object is expected", name);
    }
    return reader->error == 0;
}

bool dinv_configuration_is_printable(const char *text, size_t len) {
    for (size_t index = 0; index < len; index++) {
        if ((unsigned char)text[index] < ' ' || text[index] == 0x7f) {
            return false;
        }
    }
    return true;
}

void *dinv_configuration_allocate(DinvConfigurationReader *reader, size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        dinv_configuration_complain(reader, "out of memory");
    }
    return memory;
}

static char *copy_text(DinvConfigurationReader *reader, const char *text, const char *name) {
    char *copy = strdup(text);
    if (copy == NULL) {
        dinv_configuration_complain(reader, "%s: out of memory", name);
    }
    return copy;
}

char *dinv_configuration_take_string(DinvConfigurationReader *reader, struct json_object *value,
                                     const char *name) {
    if (reader->error != 0) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string)) {
        dinv_configuration_complain(reader, "%s: a string is expected", name);
        return NULL;
    }
    const char *text = json_object_get_string(value);
    if (!dinv_configuration_is_printable(text, (size_t)json_object_get_string_len(value))) {
        dinv_configuration_complain(reader, "%s: control characters are not allowed", name);
        return NULL;
    }
    return copy_text(reader, text, name);
}

char *dinv_configuration_take_word(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name) {
    char *text = dinv_configuration_take_string(reader, value, name);
    if (text != NULL && (text[0] == '\0' || strchr(text, ' ') != NULL)) {
        dinv_configuration_reject(reader, name, text, "is not a single word");
    }
    return text;
}

char *dinv_configuration_take_path(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name) {
    char *path = dinv_configuration_take_string(reader, value, name);
    if (path == NULL) {
        return NULL;
    }
    dinv_mountinfo_unescape(path);
    bool good = path[0] == '/' && path[1] != '\0' && strlen(path) < 4096;
    for (const char *at = path; good && (at = strchr(at, '/')) != NULL;) {
        size_t len = strcspn(++at, "/");
        good = (len != 1 || at[0] != '.') && (len != 2 || strncmp(at, "..", 2) != 0);
    }
    if (!good) {
        dinv_configuration_reject(reader, name, path, "is not an absolute path below /");
    }
    return path;
}

char *dinv_configuration_take_text(DinvConfigurationReader *reader, struct json_object *value,
                                   const char *name) {
    if (reader->error != 0) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string) ||
        strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
        dinv_configuration_complain(reader, "%s: a string without NUL is expected", name);
        return NULL;
    }
    return copy_text(reader, json_object_get_string(value), name);
}

char *dinv_configuration_take_any_address(DinvConfigurationReader *reader,
                                          struct json_object *value, const char *name) {
    char *text = dinv_configuration_take_string(reader, value, name);
    struct in6_addr address;
    if (text != NULL && inet_pton(AF_INET, text, &address) != 1 &&
        inet_pton(AF_INET6, text, &address) != 1) {
        dinv_configuration_reject(reader, name, text, "is not an address");
    }
    return text;
}

struct in_addr dinv_configuration_take_address(DinvConfigurationReader *reader,
                                               struct json_object *value, const char *name) {
    struct in_addr address = {0};
    char *text = dinv_configuration_take_string(reader, value, name);
    if (text != NULL && inet_pton(AF_INET, text, &address) != 1) {
        dinv_configuration_reject(reader, name, text, "is not an IPv4 address");
    }
    free(text);
    return address;
}

bool dinv_configuration_take_boolean(DinvConfigurationReader *reader, struct json_object *value,
                                     const char *name) {
    if (value != NULL && reader->error == 0 && !json_object_is_type(value, json_type_boolean)) {
        dinv_configuration_complain(reader, "%s: true or false is expected", name);
    }
    return value != NULL && json_object_get_boolean(value);
}

int64_t dinv_configuration_take_integer(DinvConfigurationReader *reader, struct json_object *value,
                                        const char *name, int64_t lowest, int64_t highest) {
    if (reader->error != 0) {
        return 0;
    }
    if (!json_object_is_type(value, json_type_int)) {
        dinv_configuration_complain(reader, "%s: an integer is expected", name);
        return 0;
    }
    int64_t number = json_object_get_int64(value);
    if (number < lowest || number > highest) {
        dinv_configuration_complain(reader, "%s: %lld is not between %lld and %lld", name,
                                    (long long)number, (long long)lowest, (long long)highest);
        return 0;
    }
    return number;
}

/* The length of an array; 0 if it is missing, or after a complaint about anything else. */
static size_t take_array(DinvConfigurationReader *reader, struct json_object *value,
                         const char *name) {
    if (reader->error != 0 || value == NULL) {
        return 0;
    }
    if (!json_object_is_type(value, json_type_array)) {
        dinv_configuration_complain(reader, "%s: an array is expected", name);
        return 0;
    }
    size_t count = json_object_array_length(value);
    if (count > DINV_WIRE_CONTROL_LIST_MAX) {
        dinv_configuration_complain(reader, "%s: %zu elements are more than %d", name, count,
                                    DINV_WIRE_CONTROL_LIST_MAX);
        return 0;
    }
    return count;
}

char **dinv_configuration_take_list(DinvConfigurationReader *reader, struct json_object *object,
                                    const char *key, const char *name,
                                    DinvConfigurationTakeText take) {
    struct json_object *array = dinv_configuration_field(reader, object, key);
    size_t count = take_array(reader, array, name);
    char **list = dinv_configuration_allocate(reader, count + 1, sizeof *list);
    for (size_t index = 0; list != NULL && index < count; index++) {
        list[index] = take(reader, json_object_array_get_idx(array, index), name);
    }
    return list;
}

void dinv_configuration_free_list(char **list) {
    for (char **item = list; list != NULL && *item != NULL; item++) {
        free(*item);
    }
    free(list);
}

void *dinv_configuration_take_objects(DinvConfigurationReader *reader, struct json_object *object,
                                      const char *key, const char *name, size_t size,
                                      DinvConfigurationTakeObject take, size_t *count) {
    struct json_object *array = dinv_configuration_field(reader, object, key);
    size_t length = take_array(reader, array, name);
    char *elements = dinv_configuration_allocate(reader, length + 1, size);
    *count = 0;
    for (size_t index = 0; elements != NULL && index < length; index++) {
        struct json_object *entry = json_object_array_get_idx(array, index);
        if (!dinv_configuration_expect_object(reader, entry, name)) {
            break;
        }
        take(reader, entry, elements + size * (*count)++);
    }
    return elements;
}

/* SPDX-License-Identifier: MIT */
/* The request comes from outside, on behalf of a user: every field is checked, none is trusted. */
#include "guest/services/exec-request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/message.h"
#include "guest/base/process.h"

enum { ARGUMENTS_MAX = 4096 };

/* A string without a NUL in it; such a thing has no place in argv or environment. */
static bool is_plain_text(struct json_object *value) {
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

static int take_argv(struct json_object *object, DinvServiceExecRequest *request) {
    struct json_object *array = NULL;
    (void)json_object_object_get_ex(object, "argv", &array);
    if (!json_object_is_type(array, json_type_array)) {
        return -EINVAL;
    }
    size_t count = json_object_array_length(array);
    if (count == 0 || count > ARGUMENTS_MAX) {
        return -EINVAL;
    }
    request->argv = calloc(count + 1, sizeof *request->argv);
    for (size_t index = 0; request->argv != NULL && index < count; index++) {
        struct json_object *value = json_object_array_get_idx(array, index);
        if (!is_plain_text(value)) {
            return -EINVAL;
        }
        request->argv[index] = strdup(json_object_get_string(value));
        if (request->argv[index] == NULL) {
            return -ENOMEM;
        }
    }
    return request->argv != NULL ? 0 : -ENOMEM;
}

static bool is_variable_given(struct json_object *variables, const char *assignment) {
    char name[32] = "";
    size_t len = strcspn(assignment, "=");
    memcpy(name, assignment, len < sizeof name ? len : sizeof name - 1);
    return json_object_object_get_ex(variables, name, NULL);
}

static int take_exec_environment(struct json_object *object, DinvServiceExecRequest *request) {
    static const char *const defaults[] = {DINV_DEFAULT_PATH, "HOME=/root", "USER=root",
                                           "LANG=C.UTF-8", "TERM=xterm"};
    struct json_object *variables = NULL;
    (void)json_object_object_get_ex(object, "env", &variables);
    if (variables != NULL && !json_object_is_type(variables, json_type_object)) {
        return -EINVAL;
    }
    size_t given = variables != NULL ? (size_t)json_object_object_length(variables) : 0;
    size_t default_count = sizeof defaults / sizeof defaults[0];
    if (given > ARGUMENTS_MAX) {
        return -EINVAL;
    }
    request->home_is_given = is_variable_given(variables, "HOME");
    request->environment = calloc(given + default_count + 1, sizeof *request->environment);
    if (request->environment == NULL) {
        return -ENOMEM;
    }
    char **next = request->environment;
    /* A terminal's kind means nothing without one. */
    for (size_t index = 0; index < default_count - (request->terminal ? 0 : 1); index++) {
        if (!is_variable_given(variables, defaults[index])) {
            if ((*next = strdup(defaults[index])) == NULL) {
                return -ENOMEM;
            }
            next++;
        }
    }
    if (given == 0) {
        return 0;
    }
    json_object_object_foreach(variables, name, value) {
        if (name[0] == '\0' || strchr(name, '=') != NULL || !is_plain_text(value)) {
            return -EINVAL;
        }
        if (asprintf(next, "%s=%s", name, json_object_get_string(value)) < 0) {
            *next = NULL;
            return -ENOMEM;
        }
        next++;
    }
    return 0;
}

static int take_size(struct json_object *object, const char *name, unsigned short *size) {
    struct json_object *value;
    if (!json_object_object_get_ex(object, name, &value)) {
        return 0;
    }
    if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
        json_object_get_int64(value) > 65535) {
        return -EINVAL;
    }
    *size = (unsigned short)json_object_get_int64(value);
    return 0;
}

/* A string that may be missing or null. */
static int take_exec_text(struct json_object *object, const char *name, char **text) {
    struct json_object *value;
    if (!json_object_object_get_ex(object, name, &value) || value == NULL) {
        return 0;
    }
    if (!is_plain_text(value)) {
        return -EINVAL;
    }
    *text = strdup(json_object_get_string(value));
    return *text != NULL ? 0 : -ENOMEM;
}

static int take_fields(struct json_object *object, DinvServiceExecRequest *request) {
    struct json_object *value;
    if (json_object_object_get_ex(object, "tty", &value)) {
        if (!json_object_is_type(value, json_type_boolean)) {
            return -EINVAL;
        }
        request->terminal = json_object_get_boolean(value);
    }
    int result = take_exec_text(object, "cwd", &request->directory);
    result = result == 0 ? take_exec_text(object, "user", &request->user) : result;
    result = result == 0 ? take_size(object, "rows", &request->rows) : result;
    result = result == 0 ? take_size(object, "cols", &request->columns) : result;
    result = result == 0 ? take_argv(object, request) : result;
    return result == 0 ? take_exec_environment(object, request) : result;
}

int dinv_service_exec_request_parse(const char *text, size_t len,
                                    DinvServiceExecRequest **request) {
    DinvServiceExecRequest *parsed = calloc(1, sizeof *parsed);
    struct json_object *object = dinv_json_parse_object(text, len);
    int result = parsed == NULL ? -ENOMEM : object == NULL ? -EINVAL : take_fields(object, parsed);
    json_object_put(object);
    if (result < 0) {
        dinv_service_exec_request_free(parsed);
        return result;
    }
    *request = parsed;
    return 0;
}

static void free_strings(char **list) {
    for (char **item = list; list != NULL && *item != NULL; item++) {
        free(*item);
    }
    free(list);
}

void dinv_service_exec_request_free(DinvServiceExecRequest *request) {
    if (request != NULL) {
        free_strings(request->argv);
        free_strings(request->environment);
        free(request->directory);
        free(request->user);
        free(request);
    }
}

static int replace_variable(DinvServiceExecRequest *request, const char *name, const char *value) {
    size_t len = strlen(name);
    for (char **entry = request->environment; *entry != NULL; entry++) {
        if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=') {
            char *text = NULL;
            if (asprintf(&text, "%s=%s", name, value) < 0) {
                return -ENOMEM;
            }
            free(*entry);
            *entry = text;
        }
    }
    return 0;
}

int dinv_service_exec_request_set_home(DinvServiceExecRequest *request, const char *user,
                                       const char *home) {
    if (request->home_is_given) {
        return 0;
    }
    int result = replace_variable(request, "HOME", home);
    return result == 0 ? replace_variable(request, "USER", user) : result;
}

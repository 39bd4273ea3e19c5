/* SPDX-License-Identifier: MIT */
/* How dockerd and containerd are to run: arguments, logging, environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/configuration/sections.h"
#include "wire/control.h"

enum { DEADLINE_DEFAULT_MS = 120000, DEADLINE_MAX_MS = 86400000 };

static void take_dockerd(DinvConfigurationReader *reader, struct json_object *body,
                         DinvConfiguration *to) {
    struct json_object *object = dinv_configuration_field(reader, body, "dockerd");
    to->dockerd_deadline_ms = DEADLINE_DEFAULT_MS;
    if (object != NULL && !dinv_configuration_expect_object(reader, object, "dockerd")) {
        return;
    }
    to->dockerd_args = dinv_configuration_take_list(reader, object, "args", "dockerd.args",
                                                    dinv_configuration_take_string);
    to->dockerd_sockets = dinv_configuration_take_list(reader, object, "sockets", "dockerd.sockets",
                                                       dinv_configuration_take_path);
    struct json_object *deadline = dinv_configuration_field(reader, object, "deadline_ms");
    if (deadline != NULL) {
        to->dockerd_deadline_ms = (uint32_t)dinv_configuration_take_integer(
            reader, deadline, "dockerd.deadline_ms", 1, DEADLINE_MAX_MS);
    }
}

/* The level of this name as static text, NULL if containerd knows none. */
static const char *find_containerd_level(const char *name) {
    static const char *const levels[] = {"trace", "debug", "info", "warn",
                                         "error", "fatal", "panic"};
    for (size_t index = 0; index < sizeof levels / sizeof levels[0]; index++) {
        if (strcmp(levels[index], name) == 0) {
            return levels[index];
        }
    }
    return NULL;
}

/* What dockerd was told of its log, whatever that is: if it is nonsense, dockerd says so. */
static void take_containerd(DinvConfigurationReader *reader, struct json_object *body,
                            DinvContainerdConfiguration *to) {
    struct json_object *object = dinv_configuration_field(reader, body, "containerd");
    if (object == NULL || !dinv_configuration_expect_object(reader, object, "containerd")) {
        return;
    }
    const char *level =
        json_object_get_string(dinv_configuration_field(reader, object, "log_level"));
    const char *format =
        json_object_get_string(dinv_configuration_field(reader, object, "log_format"));
    to->level = level != NULL ? find_containerd_level(level) : NULL;
    to->json = format != NULL && strcmp(format, "json") == 0;
}

static void take_environment(DinvConfigurationReader *reader, struct json_object *body,
                             DinvConfiguration *to) {
    struct json_object *object = dinv_configuration_field(reader, body, "environment");
    size_t count = 0;
    if (object != NULL && dinv_configuration_expect_object(reader, object, "environment")) {
        count = (size_t)json_object_object_length(object);
    }
    if (count > DINV_WIRE_CONTROL_LIST_MAX) {
        dinv_configuration_complain(reader, "environment: %zu variables are more than %d", count,
                                    DINV_WIRE_CONTROL_LIST_MAX);
    }
    to->environment = dinv_configuration_allocate(reader, count + 1, sizeof *to->environment);
    if (count == 0 || reader->error != 0) {
        return;
    }
    size_t index = 0;
    json_object_object_foreach(object, name, value) {
        if (name[0] == '\0' || strchr(name, '=') != NULL ||
            !dinv_configuration_is_printable(name, strlen(name))) {
            dinv_configuration_reject(reader, "environment", name, "is not the name of a variable");
        }
        char *text = dinv_configuration_take_string(reader, value, "environment");
        if (text != NULL && asprintf(&to->environment[index], "%s=%s", name, text) >= 0) {
            index++;
        }
        free(text);
    }
}

void dinv_configuration_take_programs(DinvConfigurationReader *reader, struct json_object *body,
                                      DinvConfiguration *to) {
    take_dockerd(reader, body, to);
    take_containerd(reader, body, &to->containerd_logging);
    take_environment(reader, body, to);
}

void dinv_configuration_clear_programs(DinvConfiguration *configuration) {
    dinv_configuration_free_list(configuration->dockerd_args);
    dinv_configuration_free_list(configuration->dockerd_sockets);
    dinv_configuration_free_list(configuration->environment);
}

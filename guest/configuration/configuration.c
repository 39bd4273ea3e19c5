/* SPDX-License-Identifier: MIT */
/* The whole of `configure`: what machine it is (version, name, time, entropy), and its sections. */
#include "guest/configuration/configuration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/base64.h"
#include "guest/configuration/sections.h"
#include "wire/control.h"

enum { HOSTNAME_MAX = 64 };

static void take_protocol(DinvConfigurationReader *reader, struct json_object *body) {
    struct json_object *version = dinv_configuration_field(reader, body, "protocol");
    int64_t protocol = dinv_configuration_take_integer(reader, version, "protocol", 0, INT32_MAX);
    if (reader->error == 0 && protocol != DINV_WIRE_CONTROL_VERSION) {
        dinv_configuration_complain(reader,
                                    "protocol: version %d of the launcher is not %d of the guest",
                                    (int)protocol, DINV_WIRE_CONTROL_VERSION);
        reader->error = -EPROTONOSUPPORT;
    }
}

static void take_hostname(DinvConfigurationReader *reader, struct json_object *body,
                          DinvConfiguration *to) {
    struct json_object *hostname = dinv_configuration_field(reader, body, "hostname");
    if (hostname == NULL) {
        return;
    }
    to->hostname = dinv_configuration_take_word(reader, hostname, "hostname");
    if (to->hostname != NULL && strlen(to->hostname) > HOSTNAME_MAX) {
        dinv_configuration_reject(reader, "hostname", to->hostname, "is longer than 64 characters");
    }
}

bool dinv_configuration_parse_time(struct json_object *value, struct timespec *time) {
    struct json_object *seconds;
    struct json_object *nanoseconds;
    if (!json_object_is_type(value, json_type_object) ||
        !json_object_object_get_ex(value, "sec", &seconds) ||
        !json_object_is_type(seconds, json_type_int)) {
        return false;
    }
    int64_t sec = json_object_get_int64(seconds);
    int64_t nsec = 0;
    if (json_object_object_get_ex(value, "nsec", &nanoseconds)) {
        if (!json_object_is_type(nanoseconds, json_type_int)) {
            return false;
        }
        nsec = json_object_get_int64(nanoseconds);
    }
    /* The kernel refuses years it cannot count in nanoseconds. */
    if (sec <= 0 || sec > INT64_MAX / 1000000000 / 2 || nsec < 0 || nsec > 999999999) {
        return false;
    }
    *time = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)nsec};
    return true;
}

static void take_time(DinvConfigurationReader *reader, struct json_object *body,
                      DinvConfiguration *to) {
    struct json_object *time = dinv_configuration_field(reader, body, "time");
    if (time != NULL && !dinv_configuration_parse_time(time, &to->time)) {
        dinv_configuration_complain(reader,
                                    "time: {\"sec\": seconds since 1970, \"nsec\": …} is expected");
    }
}

/* The bytes of base64 of at most `most` characters, to be freed; *length is 0 if it is none. */
static uint8_t *take_bytes(DinvConfigurationReader *reader, struct json_object *value,
                           const char *name, size_t most, size_t *length) {
    char *text = dinv_configuration_take_string(reader, value, name);
    *length = 0;
    if (text == NULL) {
        return NULL;
    }
    size_t len = strlen(text);
    uint8_t *bytes = len <= most ? dinv_configuration_allocate(reader, len + 1, 1) : NULL;
    ssize_t decoded = bytes != NULL ? dinv_base64_decode(text, len, bytes, len) : -EINVAL;
    if (decoded < 0) {
        dinv_configuration_complain(reader, "%s: this is not base64 of at most %zu characters",
                                    name, most);
    } else {
        *length = (size_t)decoded;
    }
    explicit_bzero(text, len);
    free(text);
    return bytes;
}

static void take_entropy(DinvConfigurationReader *reader, struct json_object *body,
                         DinvConfiguration *to) {
    struct json_object *value = dinv_configuration_field(reader, body, "entropy");
    if (value != NULL) {
        to->entropy =
            take_bytes(reader, value, "entropy", DINV_WIRE_CONTROL_ENTROPY_MAX, &to->entropy_len);
    }
}

static void take_zone(DinvConfigurationReader *reader, struct json_object *body,
                      DinvZoneConfiguration *zone) {
    struct json_object *object = dinv_configuration_field(reader, body, "zone");
    if (object == NULL || !dinv_configuration_expect_object(reader, object, "zone")) {
        return;
    }
    zone->name = dinv_configuration_take_word(
        reader, dinv_configuration_field(reader, object, "name"), "zone.name");
    zone->rules = take_bytes(reader, dinv_configuration_field(reader, object, "rules"),
                             "zone.rules", DINV_WIRE_CONTROL_ZONE_MAX, &zone->length);
}

int dinv_configuration_parse(struct json_object *body, DinvConfiguration **configuration,
                             char *reason, size_t reason_size) {
    DinvConfigurationReader reader = {.reason = reason, .reason_size = reason_size};
    DinvConfiguration *result = calloc(1, sizeof *result);
    if (result == NULL) {
        dinv_configuration_complain(&reader, "out of memory");
        return reader.error;
    }
    take_protocol(&reader, body);
    take_hostname(&reader, body, result);
    take_time(&reader, body, result);
    take_entropy(&reader, body, result);
    take_zone(&reader, body, &result->zone);
    result->publish_listeners = dinv_configuration_take_boolean(
        &reader, dinv_configuration_field(&reader, body, "publish_listeners"), "publish_listeners");
    dinv_configuration_take_network(&reader, body, &result->network);
    dinv_configuration_take_storage(&reader, body, result);
    dinv_configuration_take_programs(&reader, body, result);
    if (reader.error != 0) {
        dinv_configuration_free(result);
        return reader.error;
    }
    *configuration = result;
    return 0;
}

void dinv_configuration_free(DinvConfiguration *configuration) {
    if (configuration == NULL) {
        return;
    }
    free(configuration->hostname);
    if (configuration->entropy != NULL) {
        explicit_bzero(configuration->entropy, configuration->entropy_len);
    }
    free(configuration->entropy);
    free(configuration->zone.name);
    free(configuration->zone.rules);
    dinv_configuration_clear_network(&configuration->network);
    dinv_configuration_clear_storage(configuration);
    dinv_configuration_clear_programs(configuration);
    free(configuration);
}

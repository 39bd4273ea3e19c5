/* SPDX-License-Identifier: MIT */
/*
 * The `log` service: {"name": "dockerd", "tail": lines (default: all), "follow": bool}. The lines
 * as they are, then the end of the stream, or with `follow` what is appended until the peer closes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/message.h"
#include "guest/services/service.h"

typedef struct {
    DinvService base;
    DinvServiceRelay *host;
    DinvEngineLog *log;
    DinvRelayStream *stream;
    uint64_t position;
    bool follow;
    bool finished; /* everything was written; what is left is for it to leave */
} LogStream;

/* Moves as much as the stream takes. */
static void advance_log_stream(LogStream *to) {
    char chunk[16 * 1024];
    bool stuck = false;
    while (!stuck && !to->finished) {
        size_t room = dinv_relay_stream_writable_bytes(to->stream);
        uint64_t position = to->position;
        ssize_t len = dinv_engine_log_read(to->log, &position, chunk,
                                           room < sizeof chunk && room > 0 ? room : sizeof chunk);
        if (len > 0) {
            ssize_t written = dinv_relay_stream_write(to->stream, chunk, (size_t)len);
            stuck = written < len;
            /* Counted back from behind: an overtaken reader has jumped ahead. */
            to->position = position - (uint64_t)(len - (written > 0 ? written : 0));
        } else if (to->follow) {
            stuck = true;
        } else {
            to->finished = true;
            dinv_relay_stream_finish(to->stream);
        }
    }
    dinv_service_relay_has_output(to->host);
}

static void log_appended(void *user) {
    LogStream *to = user;
    advance_log_stream(to);
}

static void log_readable(DinvService *service) {
    LogStream *to = (LogStream *)service;
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_stream_peek(to->stream, &bytes)) > 0) {
        dinv_relay_stream_consume(to->stream, (size_t)len); /* nothing is expected */
    }
    dinv_service_relay_has_output(to->host);
    if (len == 0 && (to->follow || dinv_relay_stream_is_flushed(to->stream))) {
        dinv_service_end(service);
    }
}

static void log_writable(DinvService *service) {
    LogStream *to = (LogStream *)service;
    advance_log_stream(to);
    /* A peer that no longer reads ends it, too: nothing is left to be flushed then. */
    if (dinv_relay_stream_write(to->stream, NULL, 0) < 0 &&
        (!to->finished || dinv_relay_stream_is_flushed(to->stream))) {
        dinv_service_end(service);
    }
}

static void log_broken(DinvService *service, int error) {
    (void)error;
    dinv_service_end(service);
}

static void log_destroy(DinvService *service) {
    LogStream *to = (LogStream *)service;
    DinvServiceRelay *host = to->host;
    dinv_engine_log_remove_listener(to->log, log_appended, to);
    dinv_relay_stream_close(to->stream, 0);
    free(to);
    dinv_service_relay_has_output(host);
}

static const DinvServiceOperations operations = {
    .readable = log_readable,
    .writable = log_writable,
    .broken = log_broken,
    .destroy = log_destroy,
};

/* 0 or -errno: -EINVAL for a wrong argument, -ENOENT for a log that we do not have. */
static int parse_log_argument(const uint8_t *argument, size_t len, LogStream *to) {
    struct json_object *object = dinv_json_parse_object((const char *)argument, len);
    struct json_object *value;
    int result = 0;
    if (!json_object_object_get_ex(object, "name", &value) ||
        !json_object_is_type(value, json_type_string)) {
        result = -EINVAL;
    } else if (strcmp(json_object_get_string(value), "dockerd") != 0) {
        result = -ENOENT;
    }
    if (json_object_object_get_ex(object, "tail", &value) && value != NULL) {
        if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0) {
            to->position =
                dinv_engine_log_find_tail(to->log, (uint64_t)json_object_get_int64(value));
        } else {
            result = -EINVAL;
        }
    }
    if (json_object_object_get_ex(object, "follow", &value)) {
        to->follow = json_object_get_boolean(value);
    }
    json_object_put(object);
    return result;
}

int dinv_service_log_open(DinvServiceRelay *host, DinvRelayStream *stream, const uint8_t *argument,
                          size_t argument_len, DinvService **service) {
    LogStream *to = calloc(1, sizeof *to);
    if (to == NULL) {
        return -ENOMEM;
    }
    to->base.operations = &operations;
    to->host = host;
    to->log = dinv_service_relay_get_log(host);
    to->stream = stream;
    int result = parse_log_argument(argument, argument_len, to);
    if (result == 0 && to->follow) {
        result = dinv_engine_log_add_listener(to->log, log_appended, to);
    }
    if (result < 0) {
        free(to);
        return result;
    }
    dinv_relay_stream_set_data(stream, to);
    dinv_relay_stream_accept(stream);
    *service = &to->base;
    return 0;
}

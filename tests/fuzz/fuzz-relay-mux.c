/* SPDX-License-Identifier: MIT */
/*
 * A mux that is fed whatever comes, while its user does what the input says. The first bytes make a
 * valid session, so that the frames behind them are looked at; the first byte chooses the limits,
 * the pieces in which the rest is fed, and whether it goes without the hello.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/mux-internal.h"
#include "tests/unit/lib/relay-pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HANDLES 8u

typedef struct {
    DinvRelayMux *mux;
    DinvRelayStream *handles[HANDLES];
    const uint8_t *decisions; /* read from the end of the input backwards */
    size_t decisions_left;
} User;

static uint8_t decide(User *user) {
    return user->decisions_left > 0 ? user->decisions[--user->decisions_left] : 0;
}

static void close_handle(User *user, size_t index, int error) {
    DinvRelayStream *stream = user->handles[index];
    user->handles[index] = NULL;
    dinv_relay_stream_close(stream, error);
}

static void keep_handle(User *user, DinvRelayStream *stream) {
    size_t index = decide(user) % HANDLES;
    if (user->handles[index] != NULL) {
        close_handle(user, index, 5);
    }
    user->handles[index] = stream;
}

/* One call of the user's, on one of its streams. */
static void act(User *user) {
    uint8_t decision = decide(user);
    size_t index = decision % HANDLES;
    DinvRelayStream *stream = user->handles[index];
    static const uint8_t bytes[300];
    const uint8_t *peeked;
    if (stream == NULL) {
        if (decision >= 128) {
            stream = dinv_relay_open(user->mux, "service", bytes, decision, user, NULL);
            user->handles[index] = stream;
        }
        return;
    }
    switch (decision / HANDLES % 8) {
    case 0:
        dinv_relay_stream_accept(stream);
        break;
    case 1:
        dinv_relay_stream_refuse(stream, decision);
        break;
    case 2:
        (void)dinv_relay_stream_write(stream, bytes, sizeof(bytes) - decision);
        break;
    case 3:
        dinv_relay_stream_finish(stream);
        break;
    case 4: {
        ssize_t len = dinv_relay_stream_peek(stream, &peeked);
        dinv_relay_stream_consume(stream, len > 0 ? (size_t)len : 0);
        break;
    }
    case 5:
        dinv_relay_stream_consume(stream, 1);
        break;
    case 6:
        (void)dinv_relay_stream_is_flushed(stream);
        break;
    default:
        close_handle(user, index, decision);
        break;
    }
}

static void on_incoming(void *user, DinvRelayStream *stream, const char *service,
                        const uint8_t *argument, size_t argument_len) {
    size_t len = strlen(service);
    volatile uint8_t seen = 0;
    for (size_t i = 0; i < argument_len; i++) {
        seen ^= argument[i]; /* all of it can be read */
    }
    (void)seen;
    if (len == 0 || len > DINV_RELAY_SERVICE_MAX || argument_len > DINV_RELAY_ARGUMENT_MAX) {
        abort();
    }
    keep_handle(user, stream);
    act(user);
}

static void on_event(void *user, DinvRelayStream *stream) {
    (void)dinv_relay_stream_get_data(stream);
    act(user);
}

static void on_error(void *user, DinvRelayStream *stream, int error) {
    if (error <= 0 || dinv_relay_stream_write(stream, "", 1) >= 0) {
        abort();
    }
    act(user);
}

static void check(const User *user) {
    DinvRelayStats stats;
    dinv_relay_mux_get_stats(user->mux, &stats);
    for (const DinvRelayStream *stream = user->mux->streams; stream != NULL;
         stream = stream->next) {
        if (stream->input.len > stream->window ||
            stream->output.len > user->mux->limits.send_buffer) {
            abort();
        }
    }
    if (user->mux->stream_count > user->mux->limits.max_streams) {
        abort();
    }
}

static void feed_all(User *user, const uint8_t *data, size_t size, size_t piece) {
    uint8_t buffer[200];
    for (size_t at = 0; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        /* Exactly sized, so that a read past the end is seen. */
        uint8_t *copy = malloc(len);
        memcpy(copy, data + at, len);
        int result = dinv_relay_mux_feed(user->mux, copy, len);
        free(copy);
        check(user);
        act(user);
        if (result < 0 || decide(user) == 0x77) {
            dinv_relay_mux_restart(user->mux, 1);
        }
        while (decide(user) % 4 != 0 &&
               relay_pull(user->mux, buffer, 64 + decide(user) % 128) > 0) {
        }
        check(user);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvRelayCallbacks callbacks = {.incoming = on_incoming,
                                                 .opened = on_event,
                                                 .refused = on_error,
                                                 .readable = on_event,
                                                 .writable = on_event,
                                                 .reset = on_error};
    if (size < 2) {
        return 0;
    }
    const DinvRelayLimits limits = {.max_streams = 6,
                                    .window = (data[0] & 1u) != 0 ? 100 : 0,
                                    .send_buffer = (data[0] & 2u) != 0 ? 100 : 0,
                                    .max_payload = (data[0] & 4u) != 0 ? 10 : 0};
    size_t piece = (data[0] & 8u) != 0 ? 1 + data[1] % 16u : size;
    User user = {.decisions = data, .decisions_left = size};
    user.mux = dinv_relay_mux_new(DINV_RELAY_LAUNCHER, 1, &limits, &callbacks, &user);
    if ((data[0] & 16u) == 0) {
        const DinvRelayHello hello = {.version = DINV_RELAY_VERSION,
                                      .role = DINV_RELAY_GUEST,
                                      .answering = true,
                                      .window = 1000,
                                      .epoch = 2,
                                      .answers = 1};
        uint8_t frame[DINV_RELAY_HELLO_SIZE];
        dinv_relay_hello_encode(frame, &hello);
        if (dinv_relay_mux_feed(user.mux, frame, sizeof(frame)) < 0) {
            abort();
        }
    }
    feed_all(&user, data + 2, size - 2, piece);
    for (size_t i = 0; i < HANDLES; i++) {
        if (user.handles[i] != NULL) {
            close_handle(&user, i, 0);
        }
    }
    DinvRelayStats stats;
    dinv_relay_mux_get_stats(user.mux, &stats);
    if (stats.streams != 0) {
        abort();
    }
    dinv_relay_mux_free(user.mux);
    return 0;
}

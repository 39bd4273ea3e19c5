/* SPDX-License-Identifier: MIT */
/* relay-pair: two muxes and the bytes between them, for tests. */
#pragma once

#include <glib.h>
#include <string.h>

#include "relay/frame.h"
#include "relay/mux.h"
#include "tests/unit/lib/relay-pull.h"

/* One side: its mux, and what its callbacks said. */
typedef struct {
    DinvRelayMux *mux;
    GPtrArray *incoming; /* streams the peer opened, in order; borrowed */
    GString *log;        /* "incoming:NAME:ARGUMENT ", "opened ", "reset:104 ", … */
    gboolean accept;     /* accept in `incoming` */
    gboolean consume;    /* consume in `readable` */
    gsize received;      /* bytes that were consumed there */
    guint ends;          /* how often an end of stream was read there */
} RelaySide;

typedef struct {
    RelaySide launcher;
    RelaySide guest;
} RelayPair;

static inline void relay_on_incoming(void *user, DinvRelayStream *stream, const char *service,
                                     const uint8_t *argument, size_t argument_len) {
    RelaySide *side = user;
    g_string_append_printf(side->log, "incoming:%s:%.*s ", service, (int)MIN(argument_len, 20),
                           (const char *)argument);
    g_ptr_array_add(side->incoming, stream);
    if (side->accept) {
        dinv_relay_stream_accept(stream);
    }
}

static inline void relay_on_opened(void *user, DinvRelayStream *stream) {
    (void)stream;
    g_string_append(((RelaySide *)user)->log, "opened ");
}

static inline void relay_on_refused(void *user, DinvRelayStream *stream, int error) {
    (void)stream;
    g_string_append_printf(((RelaySide *)user)->log, "refused:%d ", error);
}

static inline void relay_on_readable(void *user, DinvRelayStream *stream) {
    RelaySide *side = user;
    if (!side->consume) {
        g_string_append(side->log, "readable ");
        return;
    }
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        side->received += (gsize)len;
        dinv_relay_stream_consume(stream, (size_t)len);
    }
    side->ends += len == 0;
}

static inline void relay_on_writable(void *user, DinvRelayStream *stream) {
    (void)stream;
    g_string_append(((RelaySide *)user)->log, "writable ");
}

static inline void relay_on_reset(void *user, DinvRelayStream *stream, int error) {
    (void)stream;
    g_string_append_printf(((RelaySide *)user)->log, "reset:%d ", error);
}

static const DinvRelayCallbacks relay_callbacks = {
    .incoming = relay_on_incoming,
    .opened = relay_on_opened,
    .refused = relay_on_refused,
    .readable = relay_on_readable,
    .writable = relay_on_writable,
    .reset = relay_on_reset,
};

static inline void relay_side_init(RelaySide *side, DinvRelayRole role, uint64_t epoch,
                                   const DinvRelayLimits *limits) {
    *side = (RelaySide){
        .incoming = g_ptr_array_new(), .log = g_string_new(NULL), .accept = TRUE, .consume = TRUE};
    side->mux = dinv_relay_mux_new(role, epoch, limits, &relay_callbacks, side);
}

/* Every handle must have been closed. */
static inline void relay_side_clear(RelaySide *side) {
    DinvRelayStats stats;
    dinv_relay_mux_get_stats(side->mux, &stats);
    g_assert_cmpuint(stats.streams, ==, 0);
    dinv_relay_mux_free(side->mux);
    g_ptr_array_unref(side->incoming);
    g_string_free(side->log, TRUE);
}

/* The i-th stream that the peer opened. */
static inline DinvRelayStream *relay_side_stream(const RelaySide *side, guint index) {
    g_assert_cmpuint(index, <, side->incoming->len);
    return g_ptr_array_index(side->incoming, index);
}

/* What was logged since the last call. */
#define relay_assert_log(side, expected)                                                           \
    do {                                                                                           \
        g_assert_cmpstr((side)->log->str, ==, expected);                                           \
        g_string_truncate((side)->log, 0);                                                         \
    } while (0)

/* Moves one pull of at most `cap` bytes. Returns how many; the feed must succeed. */
static inline gsize relay_move(DinvRelayMux *from, DinvRelayMux *to, gsize cap) {
    static uint8_t buffer[1 << 20];
    ssize_t len = relay_pull(from, buffer, cap);
    g_assert_cmpint(len, >=, 0);
    g_assert_cmpint(dinv_relay_mux_feed(to, buffer, (size_t)len), ==, 0);
    return (gsize)len;
}

/* Until neither has anything to say. */
static inline void relay_pair_settle(RelayPair *pair, gsize cap) {
    gsize moved;
    do {
        moved = relay_move(pair->launcher.mux, pair->guest.mux, cap);
        moved += relay_move(pair->guest.mux, pair->launcher.mux, cap);
    } while (moved > 0);
    g_assert_false(dinv_relay_mux_has_output(pair->launcher.mux));
    g_assert_false(dinv_relay_mux_has_output(pair->guest.mux));
}

static inline void relay_pair_init(RelayPair *pair, const DinvRelayLimits *limits) {
    relay_side_init(&pair->launcher, DINV_RELAY_LAUNCHER, 0x1111, limits);
    relay_side_init(&pair->guest, DINV_RELAY_GUEST, 0x2222, limits);
    relay_pair_settle(pair, 65536);
    g_assert_true(relay_is_connected(pair->launcher.mux));
    g_assert_true(relay_is_connected(pair->guest.mux));
}

static inline void relay_pair_clear(RelayPair *pair) {
    relay_side_clear(&pair->launcher);
    relay_side_clear(&pair->guest);
}

static inline DinvRelayStream *relay_open(RelaySide *side, const char *service) {
    int error = 0;
    DinvRelayStream *stream = dinv_relay_open(side->mux, service, NULL, 0, NULL, &error);
    g_assert_cmpint(error, ==, 0);
    g_assert_nonnull(stream);
    return stream;
}

static inline gsize relay_memory(const RelaySide *side) {
    DinvRelayStats stats;
    dinv_relay_mux_get_stats(side->mux, &stats);
    return stats.memory;
}

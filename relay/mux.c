/* SPDX-License-Identifier: MIT */
/* mux: the life of a mux and its session with the peer; mux-internal.h has the overview. */
#include "relay/mux.h"

#include <errno.h>
#include <stdlib.h>

#include "relay/mux-internal.h"

/* More streams than this nobody may have open at once (docs/relay-protocol.md, "Limits"). */
#define MAX_STREAMS_LIMIT 4096u

static uint32_t limit(uint32_t value, uint32_t standard, uint32_t most) {
    if (value == 0) {
        return standard;
    }
    return value < most ? value : most;
}

uint32_t dinv_relay_first_id(DinvRelayRole role) {
    return role == DINV_RELAY_LAUNCHER ? 2 : 1;
}

/* Says hello anew, to a peer of whom nothing is known. */
static void begin_search(DinvRelayMux *mux, uint64_t epoch) {
    mux->epoch = epoch;
    mux->hello_pending = true;
    mux->answering = false;
    mux->padding = DINV_RELAY_PADDING;
    dinv_relay_output_drop(mux);
}

DinvRelayMux *dinv_relay_mux_new(DinvRelayRole role, uint64_t epoch, const DinvRelayLimits *limits,
                                 const DinvRelayCallbacks *callbacks, void *user) {
    const DinvRelayLimits wanted = limits != NULL ? *limits : (DinvRelayLimits){0};
    DinvRelayMux *mux = calloc(1, sizeof(*mux));
    if (mux == NULL) {
        return NULL;
    }
    mux->limits = (DinvRelayLimits){
        .max_streams = limit(wanted.max_streams, MAX_STREAMS_LIMIT, MAX_STREAMS_LIMIT),
        .window = limit(wanted.window, 8 * DINV_RELAY_CHUNK_SIZE, DINV_RELAY_WINDOW_MAX),
        .window_max = limit(wanted.window_max,
                            wanted.window != 0 ? wanted.window : 64 * DINV_RELAY_CHUNK_SIZE,
                            DINV_RELAY_WINDOW_MAX),
        .window_more = limit(wanted.window_more, 512 * DINV_RELAY_CHUNK_SIZE, UINT32_MAX),
        .send_buffer = limit(wanted.send_buffer, 2 * DINV_RELAY_CHUNK_SIZE, DINV_RELAY_WINDOW_MAX),
        .max_payload = limit(wanted.max_payload, DINV_RELAY_CHUNK_SIZE, DINV_RELAY_PAYLOAD_MAX),
    };
    mux->bucket_count = 1;
    while (mux->bucket_count < mux->limits.max_streams) {
        mux->bucket_count *= 2;
    }
    mux->buckets = dinv_relay_heap_alloc(&mux->heap, mux->bucket_count * sizeof(*mux->buckets));
    if (mux->buckets == NULL) {
        free(mux);
        return NULL;
    }
    mux->role = role;
    mux->callbacks = *callbacks;
    mux->user = user;
    mux->session = DINV_RELAY_SESSION_SEARCHING;
    mux->next_id = dinv_relay_first_id(role);
    begin_search(mux, epoch);
    return mux;
}

void dinv_relay_mux_free(DinvRelayMux *mux) {
    if (mux == NULL) {
        return;
    }
    while (mux->streams != NULL) {
        dinv_relay_stream_free(mux->streams);
    }
    dinv_relay_output_drop(mux);
    dinv_relay_heap_free(&mux->heap, mux->open_payload, mux->header.length);
    dinv_relay_heap_free(&mux->heap, mux->refusals, mux->refusal_capacity * sizeof(*mux->refusals));
    dinv_relay_heap_free(&mux->heap, mux->buckets, mux->bucket_count * sizeof(*mux->buckets));
    dinv_relay_heap_clear(&mux->heap);
    free(mux);
}

/* Forgets what was half read and half written. */
static void forget_frames(DinvRelayMux *mux) {
    dinv_relay_heap_free(&mux->heap, mux->open_payload, mux->header.length);
    mux->open_payload = NULL;
    mux->in_payload = false;
    mux->header_len = 0;
    mux->finder.len = 0;
    mux->partial = NULL;
    mux->refusal_count = 0;
    mux->next_id = dinv_relay_first_id(mux->role);
    mux->last_peer_id = 0;
}

void dinv_relay_session_end(DinvRelayMux *mux, DinvRelaySession next, int error) {
    mux->session = next;
    forget_frames(mux);
    /* All streams are broken before the first callback, which may look at any of them. */
    DinvRelayStream *following;
    for (DinvRelayStream *stream = mux->streams; stream != NULL; stream = following) {
        following = stream->next;
        dinv_relay_stream_set_id(stream, 0); /* the next session uses the same ids */
        stream->lost = dinv_relay_transition(stream->state, DINV_RELAY_EVENT_LOST)->notify ==
                       DINV_RELAY_NOTIFY_RESET;
        (void)dinv_relay_stream_event(stream, DINV_RELAY_EVENT_LOST, 0);
    }
    for (mux->cursor = mux->streams; mux->cursor != NULL;) {
        DinvRelayStream *stream = mux->cursor;
        mux->cursor = stream->next;
        if (stream->lost) {
            stream->lost = false;
            dinv_relay_stream_notify(stream, DINV_RELAY_NOTIFY_RESET, error);
        }
    }
}

int dinv_relay_session_hello(DinvRelayMux *mux, const DinvRelayHello *hello) {
    bool connected = mux->session == DINV_RELAY_SESSION_CONNECTED;
    bool answers_us = hello->answering && hello->answers == mux->epoch;
    if (hello->role == (uint8_t)mux->role || hello->role > DINV_RELAY_GUEST) {
        return connected ? -EPROTO : 0; /* an echo, or nonsense among what was left over */
    }
    if (connected && answers_us && hello->epoch == mux->peer_epoch) {
        return 0; /* said twice */
    }
    /* Answer what does not answer us, and what we have not answered yet. Either way it ends: an
     * answer to an answer is given once. */
    if (!answers_us || !mux->answering || mux->answers != hello->epoch) {
        mux->answering = true;
        mux->answers = hello->epoch;
        mux->hello_pending = true;
    }
    if (connected) {
        dinv_relay_session_end(mux, DINV_RELAY_SESSION_SEARCHING, ECONNRESET);
    }
    if (!answers_us) {
        return 0; /* left over from another session, or said before the peer heard of us */
    }
    if (hello->version != DINV_RELAY_VERSION || hello->window == 0 ||
        hello->window > DINV_RELAY_WINDOW_MAX) {
        return -EPROTO;
    }
    mux->session = DINV_RELAY_SESSION_CONNECTED;
    mux->peer_epoch = hello->epoch;
    mux->peer_window = hello->window;
    /* Streams that were opened while there was nobody to ask. */
    for (DinvRelayStream *stream = mux->streams; stream != NULL; stream = stream->next) {
        stream->send_credit = hello->window;
    }
    return 0;
}

void dinv_relay_mux_restart(DinvRelayMux *mux, uint64_t epoch) {
    begin_search(mux, epoch);
    dinv_relay_session_end(mux, DINV_RELAY_SESSION_SEARCHING, ECONNRESET);
}

void dinv_relay_mux_get_stats(const DinvRelayMux *mux, DinvRelayStats *stats) {
    *stats = (DinvRelayStats){
        .streams = mux->handle_count,
        .opened_total = mux->opened_total,
        .bytes_in = mux->bytes_in,
        .bytes_out = mux->bytes_out,
        .memory = sizeof(*mux) + mux->heap.memory,
        .allocations = mux->heap.allocations,
    };
}

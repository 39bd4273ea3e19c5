/* SPDX-License-Identifier: MIT */
/* output: puts frames together, in turns; and the refusals that belong to no stream. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "relay/mux-internal.h"

_Static_assert(DINV_RELAY_HEADROOM == DINV_RELAY_HEADER_SIZE, "a header fills the headroom");

/* DATA of this many bytes is copied and gathered with other frames; more leaves as it lies. */
#define GATHER_MOST 4096u
/* As many streams as the peer may have (docs/relay-protocol.md, "Limits"). */
#define REFUSALS_MAX 4096u

typedef struct {
    uint8_t *bytes;
    size_t cap;
    size_t len;
} Output;

static size_t room(const Output *out) {
    return out->cap - out->len;
}

static bool put_frame(Output *out, DinvRelayFrameType type, uint32_t stream) {
    if (room(out) < DINV_RELAY_HEADER_SIZE) {
        return false;
    }
    dinv_relay_header_encode(out->bytes + out->len, type, 0, stream);
    out->len += DINV_RELAY_HEADER_SIZE;
    return true;
}

static bool put_frame_u32(Output *out, DinvRelayFrameType type, uint32_t stream, uint32_t value) {
    if (room(out) < DINV_RELAY_HEADER_SIZE + 4) {
        return false;
    }
    dinv_relay_header_encode(out->bytes + out->len, type, 4, stream);
    dinv_relay_put_u32(out->bytes + out->len + DINV_RELAY_HEADER_SIZE, value);
    out->len += DINV_RELAY_HEADER_SIZE + 4;
    return true;
}

/* Where to find the refusal of `stream`, or where to put it. */
static size_t refusal_index(const DinvRelayMux *mux, uint32_t stream) {
    size_t low = 0;
    size_t high = mux->refusal_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mux->refusals[middle].stream < stream) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int dinv_relay_refusal_add(DinvRelayMux *mux, uint32_t id, int error) {
    if (mux->refusal_count == REFUSALS_MAX) {
        return -EPROTO;
    }
    if (mux->refusal_count == mux->refusal_capacity) {
        size_t size = sizeof(*mux->refusals);
        size_t capacity = mux->refusal_capacity > 0 ? 2 * mux->refusal_capacity : 16;
        DinvRelayRefusal *grown = dinv_relay_heap_alloc(&mux->heap, capacity * size);
        if (grown == NULL) {
            return -ENOMEM;
        }
        if (mux->refusal_count > 0) {
            memcpy(grown, mux->refusals, mux->refusal_count * size);
        }
        dinv_relay_heap_free(&mux->heap, mux->refusals, mux->refusal_capacity * size);
        mux->refusals = grown;
        mux->refusal_capacity = capacity;
    }
    mux->refusals[mux->refusal_count++] = (DinvRelayRefusal){.stream = id, .error = error};
    return 0;
}

void dinv_relay_refusal_remove(DinvRelayMux *mux, uint32_t id) {
    size_t index = refusal_index(mux, id);
    if (index < mux->refusal_count && mux->refusals[index].stream == id) {
        mux->refusal_count--;
        memmove(mux->refusals + index, mux->refusals + index + 1,
                (mux->refusal_count - index) * sizeof(*mux->refusals));
    }
}

static void emit_hello(DinvRelayMux *mux, Output *out) {
    size_t zeros = mux->padding < room(out) ? mux->padding : room(out);
    if (zeros > 0) {
        memset(out->bytes + out->len, DINV_RELAY_FRAME_PAD, zeros);
        out->len += zeros;
        mux->padding -= (uint32_t)zeros;
    }
    if (mux->padding > 0 || !mux->hello_pending || room(out) < DINV_RELAY_HELLO_SIZE) {
        return;
    }
    const DinvRelayHello hello = {
        .version = DINV_RELAY_VERSION,
        .role = (uint8_t)mux->role,
        .answering = mux->answering,
        .window = mux->limits.window,
        .epoch = mux->epoch,
        .answers = mux->answers,
    };
    dinv_relay_hello_encode(out->bytes + out->len, &hello);
    out->len += DINV_RELAY_HELLO_SIZE;
    mux->hello_pending = false;
}

static void emit_refusals(DinvRelayMux *mux, Output *out) {
    size_t count = 0;
    while (count < mux->refusal_count &&
           put_frame_u32(out, DINV_RELAY_FRAME_REFUSED, mux->refusals[count].stream,
                         (uint32_t)mux->refusals[count].error)) {
        count++;
    }
    if (count > 0) {
        mux->refusal_count -= count;
        memmove(mux->refusals, mux->refusals + count, mux->refusal_count * sizeof(*mux->refusals));
    }
}

/* As much of the OPEN as fits; its id is given here, so that ids rise on the wire. */
static bool emit_open(DinvRelayStream *stream, Output *out) {
    DinvRelayMux *mux = stream->mux;
    if (stream->id == 0) {
        dinv_relay_stream_set_id(stream, mux->next_id);
        mux->next_id += 2;
        dinv_relay_header_encode(stream->open_frame, DINV_RELAY_FRAME_OPEN,
                                 (uint32_t)(stream->open_len - DINV_RELAY_HEADER_SIZE), stream->id);
    }
    assert(stream->open_frame != NULL);
    size_t left = stream->open_len - stream->open_sent;
    size_t part = left < room(out) ? left : room(out);
    memcpy(out->bytes + out->len, stream->open_frame + stream->open_sent, part);
    out->len += part;
    stream->open_sent += part;
    if (part < left) {
        mux->partial = stream;
        return false;
    }
    mux->partial = NULL;
    dinv_relay_heap_free(&mux->heap, stream->open_frame, stream->open_len);
    stream->open_frame = NULL;
    stream->pending &= (uint8_t)~DINV_RELAY_PENDING_OPEN;
    return true;
}

/* What the window of a stream may grow by: to the double, as long as its reader takes all that
 * comes. Each CREDIT costs the peer an interruption, which a large window makes rare. */
static uint32_t growth(const DinvRelayStream *stream) {
    const DinvRelayMux *mux = stream->mux;
    if (stream->input.len > 0 || stream->window >= mux->limits.window_max) {
        return 0;
    }
    uint32_t most = mux->limits.window_max - stream->window;
    uint32_t left = mux->limits.window_more - mux->window_more;
    most = left < most ? left : most;
    return stream->window < most ? stream->window : most;
}

static bool emit_credit(DinvRelayStream *stream, Output *out) {
    uint32_t more = growth(stream);
    if (!put_frame_u32(out, DINV_RELAY_FRAME_CREDIT, stream->id, stream->consumed + more)) {
        return false;
    }
    stream->receive_credit += stream->consumed + more;
    stream->consumed = 0;
    stream->window += more;
    stream->mux->window_more += more;
    return true;
}

/* The frames that come before data. False when the buffer is full. */
static bool emit_control(DinvRelayStream *stream, Output *out) {
    if ((stream->pending & DINV_RELAY_PENDING_OPEN) != 0 && !emit_open(stream, out)) {
        return false;
    }
    if ((stream->pending & DINV_RELAY_PENDING_ACCEPT) != 0) {
        if (!put_frame(out, DINV_RELAY_FRAME_ACCEPT, stream->id)) {
            return false;
        }
        stream->pending &= (uint8_t)~DINV_RELAY_PENDING_ACCEPT;
    }
    if ((stream->pending & DINV_RELAY_PENDING_REFUSED) != 0) {
        if (!put_frame_u32(out, DINV_RELAY_FRAME_REFUSED, stream->id, (uint32_t)stream->error)) {
            return false;
        }
        stream->pending &= (uint8_t)~DINV_RELAY_PENDING_REFUSED;
    }
    return !dinv_relay_stream_credit_is_due(stream) || emit_credit(stream, out);
}

static bool gather_data(DinvRelayStream *stream, Output *out, uint32_t len) {
    if (room(out) < DINV_RELAY_HEADER_SIZE + len) {
        return false;
    }
    dinv_relay_header_encode(out->bytes + out->len, DINV_RELAY_FRAME_DATA, len, stream->id);
    out->len += DINV_RELAY_HEADER_SIZE;
    out->len +=
        dinv_relay_queue_take(&stream->output, &stream->mux->heap, out->bytes + out->len, len);
    return true;
}

/* The first chunk, or the first `most` bytes of it, is to leave behind what was gathered. False
 * when out of memory: then it is tried again with the next peek. */
static bool detach_data(DinvRelayStream *stream, size_t most) {
    DinvRelayMux *mux = stream->mux;
    size_t len;
    mux->leaving = dinv_relay_queue_detach(&stream->output, &mux->heap, most);
    if (mux->leaving == NULL) {
        return false;
    }
    uint8_t *header = dinv_relay_chunk_headroom(mux->leaving, &len);
    dinv_relay_header_encode(header, DINV_RELAY_FRAME_DATA, (uint32_t)len, stream->id);
    return true;
}

/* At most one DATA frame, and FIN behind the last one. False when there is no room. */
static bool emit_data(DinvRelayStream *stream, Output *out) {
    size_t len = dinv_relay_stream_next_len(stream);
    bool gathers = len <= GATHER_MOST;
    if (len > 0) {
        if (gathers ? !gather_data(stream, out, (uint32_t)len) : !detach_data(stream, len)) {
            return false;
        }
        stream->send_credit -= (uint32_t)len;
    }
    /* FIN would overtake a chunk: it has the next turn. */
    if (gathers && stream->output.len == 0 && (stream->pending & DINV_RELAY_PENDING_FIN) != 0) {
        if (!put_frame(out, DINV_RELAY_FRAME_FIN, stream->id)) {
            return false;
        }
        stream->pending &= (uint8_t)~DINV_RELAY_PENDING_FIN;
    }
    return true;
}

/* Whether bytes may leave: answered, and not broken. */
static bool may_send_data(const DinvRelayStream *stream) {
    return stream->state == DINV_RELAY_STATE_OPEN ||
           stream->state == DINV_RELAY_STATE_FINISHED_LOCAL ||
           stream->state == DINV_RELAY_STATE_FINISHED_PEER ||
           stream->state == DINV_RELAY_STATE_FINISHED_BOTH ||
           stream->state == DINV_RELAY_STATE_LINGERING;
}

static bool emit_frames(DinvRelayStream *stream, Output *out) {
    if (!emit_control(stream, out)) {
        return false;
    }
    if (may_send_data(stream)) {
        return emit_data(stream, out);
    }
    if ((stream->pending & DINV_RELAY_PENDING_RESET) != 0) {
        if (!put_frame_u32(out, DINV_RELAY_FRAME_RESET, stream->id, (uint32_t)stream->error)) {
            return false;
        }
        stream->pending &= (uint8_t)~DINV_RELAY_PENDING_RESET;
    }
    return true;
}

/* Whether the user who waits for room, or for having been flushed, is to be told now. */
static bool writable_is_due(const DinvRelayStream *stream) {
    if (!stream->wants_writable) {
        return false;
    }
    bool writing = dinv_relay_stream_writable_bytes(stream) > 0;
    return writing ? stream->output.len <= stream->mux->limits.send_buffer / 2
                   : dinv_relay_stream_is_flushed(stream);
}

/* One turn of the stream whose turn it is. False when the buffer is full: then it is its turn
 * again. Runs the callback `writable`. */
static bool take_turn(DinvRelayStream *stream, Output *out) {
    bool done = emit_frames(stream, out);
    bool writable = writable_is_due(stream);
    if (writable) {
        stream->wants_writable = false;
    }
    if (done) {
        dinv_relay_stream_leave_turns(stream);
        dinv_relay_stream_update(stream); /* to the end, or away */
    }
    if (writable) {
        dinv_relay_stream_notify(stream, DINV_RELAY_NOTIFY_WRITABLE, 0);
    }
    return done;
}

static bool holds_output(const DinvRelayMux *mux) {
    return mux->gathered_start < mux->gathered_end || mux->leaving != NULL;
}

bool dinv_relay_mux_has_output(const DinvRelayMux *mux) {
    if (mux->session == DINV_RELAY_SESSION_DEAD) {
        return false;
    }
    return holds_output(mux) || mux->padding > 0 || mux->hello_pending ||
           (mux->session == DINV_RELAY_SESSION_CONNECTED &&
            (mux->refusal_count > 0 || mux->first_turn != NULL));
}

void dinv_relay_output_drop(DinvRelayMux *mux) {
    mux->gathered_start = mux->gathered_end = 0;
    if (mux->leaving != NULL) {
        dinv_relay_chunk_return(&mux->heap, mux->leaving);
        mux->leaving = NULL;
    }
    mux->left = 0;
}

/* Puts frames together until the buffer is full, or a chunk leaves as it is. */
static void gather(DinvRelayMux *mux) {
    Output out = {.bytes = mux->gathered, .cap = sizeof(mux->gathered)};
    /* An OPEN that has left in part comes first, before a hello too: but a hello that is said
     * because the session ended has forgotten it. */
    bool go = mux->partial == NULL || emit_open(mux->partial, &out);
    if (go) {
        emit_hello(mux, &out);
    }
    if (mux->session == DINV_RELAY_SESSION_CONNECTED && go && !mux->hello_pending) {
        emit_refusals(mux, &out);
        while (mux->first_turn != NULL && mux->refusal_count == 0 && mux->leaving == NULL &&
               take_turn(mux->first_turn, &out)) {
        }
    }
    mux->gathered_start = 0;
    mux->gathered_end = out.len;
}

ssize_t dinv_relay_mux_peek(DinvRelayMux *mux, const uint8_t **bytes) {
    if (mux->session == DINV_RELAY_SESSION_DEAD) {
        return -EPROTO;
    }
    if (!holds_output(mux)) {
        gather(mux);
    }
    if (mux->gathered_start < mux->gathered_end) {
        *bytes = mux->gathered + mux->gathered_start;
        return (ssize_t)(mux->gathered_end - mux->gathered_start);
    }
    if (mux->leaving == NULL) {
        return 0;
    }
    size_t len;
    *bytes = dinv_relay_chunk_headroom(mux->leaving, &len) + mux->left;
    return (ssize_t)(DINV_RELAY_HEADROOM + len - mux->left);
}

void dinv_relay_mux_consume(DinvRelayMux *mux, size_t len) {
    mux->bytes_out += len;
    if (mux->gathered_start < mux->gathered_end) {
        mux->gathered_start += len;
        return;
    }
    size_t payload;
    (void)dinv_relay_chunk_headroom(mux->leaving, &payload);
    mux->left += len;
    if (mux->left == DINV_RELAY_HEADROOM + payload) {
        dinv_relay_chunk_return(&mux->heap, mux->leaving);
        mux->leaving = NULL;
        mux->left = 0;
    }
}

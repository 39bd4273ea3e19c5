/* SPDX-License-Identifier: MIT */
/* stream: one stream of a mux; its events, its place among the others, and its public functions. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "relay/mux-internal.h"

static DinvRelayStream **bucket_of(const DinvRelayMux *mux, uint32_t id) {
    return &mux->buckets[(id >> 1) & (mux->bucket_count - 1)].first;
}

DinvRelayStream *dinv_relay_stream_find(const DinvRelayMux *mux, uint32_t id) {
    DinvRelayStream *stream = *bucket_of(mux, id);
    while (stream != NULL && stream->id != id) {
        stream = stream->next_in_bucket;
    }
    return stream;
}

void dinv_relay_stream_set_id(DinvRelayStream *stream, uint32_t id) {
    if (stream->id != 0) {
        DinvRelayStream **link = bucket_of(stream->mux, stream->id);
        while (*link != stream) {
            link = &(*link)->next_in_bucket;
        }
        *link = stream->next_in_bucket;
    }
    stream->id = id;
    if (id != 0) {
        DinvRelayStream **bucket = bucket_of(stream->mux, id);
        stream->next_in_bucket = *bucket;
        *bucket = stream;
    }
}

DinvRelayStream *dinv_relay_stream_new(DinvRelayMux *mux, DinvRelayState state, uint32_t id,
                                       size_t frame_len) {
    DinvRelayStream *stream = dinv_relay_heap_alloc(&mux->heap, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    if (frame_len > 0) {
        stream->open_frame = dinv_relay_heap_alloc(&mux->heap, frame_len);
        if (stream->open_frame == NULL) {
            dinv_relay_heap_free(&mux->heap, stream, sizeof(*stream));
            return NULL;
        }
        stream->open_len = frame_len;
    }
    stream->mux = mux;
    stream->state = state;
    stream->window = mux->limits.window;
    stream->receive_credit = stream->window;
    stream->send_credit = mux->peer_window;
    dinv_relay_stream_set_id(stream, id);
    /* At the front: a loop over the streams that is under way does not come by. */
    stream->next = mux->streams;
    if (mux->streams != NULL) {
        mux->streams->previous = stream;
    }
    mux->streams = stream;
    mux->stream_count++;
    mux->handle_count++;
    mux->opened_total++;
    return stream;
}

static void drop_open_frame(DinvRelayStream *stream) {
    dinv_relay_heap_free(&stream->mux->heap, stream->open_frame, stream->open_len);
    stream->open_frame = NULL;
    stream->pending &= (uint8_t)~DINV_RELAY_PENDING_OPEN;
}

void dinv_relay_stream_leave_turns(DinvRelayStream *stream) {
    DinvRelayMux *mux = stream->mux;
    if (!stream->in_turns) {
        return;
    }
    if (stream->previous_turn != NULL) {
        stream->previous_turn->next_turn = stream->next_turn;
    } else {
        mux->first_turn = stream->next_turn;
    }
    if (stream->next_turn != NULL) {
        stream->next_turn->previous_turn = stream->previous_turn;
    } else {
        mux->last_turn = stream->previous_turn;
    }
    stream->next_turn = stream->previous_turn = NULL;
    stream->in_turns = false;
}

static void join_turns(DinvRelayStream *stream) {
    DinvRelayMux *mux = stream->mux;
    if (stream->in_turns) {
        return;
    }
    stream->previous_turn = mux->last_turn;
    if (mux->last_turn != NULL) {
        mux->last_turn->next_turn = stream;
    } else {
        mux->first_turn = stream;
    }
    mux->last_turn = stream;
    stream->in_turns = true;
}

void dinv_relay_stream_free(DinvRelayStream *stream) {
    DinvRelayMux *mux = stream->mux;
    dinv_relay_stream_leave_turns(stream);
    dinv_relay_stream_set_id(stream, 0);
    dinv_relay_queue_clear(&stream->input, &mux->heap);
    dinv_relay_queue_clear(&stream->output, &mux->heap);
    drop_open_frame(stream);
    if (mux->partial == stream) {
        mux->partial = NULL;
    }
    if (mux->cursor == stream) {
        mux->cursor = stream->next;
    }
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        mux->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    mux->stream_count--;
    mux->window_more -= stream->window - mux->limits.window;
    dinv_relay_heap_free(&mux->heap, stream, sizeof(*stream));
}

/* The one place where a stream changes its state. */
static void stream_set_state(DinvRelayStream *stream, DinvRelayState next) {
    assert(stream->state != DINV_RELAY_STATE_GONE);
    stream->state = next;
}

static void stream_carry_out(DinvRelayStream *stream, unsigned actions, int error) {
    DinvRelayHeap *heap = &stream->mux->heap;
    if ((actions & DINV_RELAY_ACTION_DROP_INPUT) != 0) {
        dinv_relay_queue_clear(&stream->input, heap);
        stream->consumed = 0;
    }
    if ((actions & DINV_RELAY_ACTION_DROP_OUTPUT) != 0) {
        dinv_relay_queue_clear(&stream->output, heap);
        stream->pending &= DINV_RELAY_PENDING_OPEN;
        /* An OPEN that has left in part must leave as a whole, or the frames after it are lost. */
        if (stream->mux->partial != stream) {
            drop_open_frame(stream);
        }
    }
    if ((actions & DINV_RELAY_ACTION_SEND_ACCEPT) != 0) {
        stream->pending |= DINV_RELAY_PENDING_ACCEPT;
    }
    if ((actions & DINV_RELAY_ACTION_SEND_REFUSED) != 0) {
        stream->pending |= DINV_RELAY_PENDING_REFUSED;
        stream->error = error;
    }
    if ((actions & DINV_RELAY_ACTION_SEND_FIN) != 0) {
        stream->pending |= DINV_RELAY_PENDING_FIN;
    }
    /* Without an id the peer never heard of the stream. */
    if ((actions & DINV_RELAY_ACTION_SEND_RESET) != 0 && stream->id != 0) {
        stream->pending |= DINV_RELAY_PENDING_RESET;
        stream->error = error;
    }
}

const DinvRelayTransition *dinv_relay_stream_event(DinvRelayStream *stream, DinvRelayEvent event,
                                                   int error) {
    const DinvRelayTransition *transition = dinv_relay_transition(stream->state, event);
    if (transition->verdict == DINV_RELAY_VERDICT_GO) {
        stream_set_state(stream, (DinvRelayState)transition->next);
        stream_carry_out(stream, transition->actions, error);
        dinv_relay_stream_update(stream);
    }
    return transition;
}

void dinv_relay_stream_notify(DinvRelayStream *stream, DinvRelayNotify notify, int error) {
    if (notify == DINV_RELAY_NOTIFY_NOTHING) {
        return; /* the stream may be gone */
    }
    const DinvRelayMux *mux = stream->mux;
    const DinvRelayCallbacks *callbacks = &mux->callbacks;
    void (*plain)(void *, DinvRelayStream *) = NULL;
    void (*with_error)(void *, DinvRelayStream *, int) = NULL;
    switch (notify) {
    case DINV_RELAY_NOTIFY_OPENED:
        plain = callbacks->opened;
        break;
    case DINV_RELAY_NOTIFY_READABLE:
        plain = callbacks->readable;
        break;
    case DINV_RELAY_NOTIFY_WRITABLE:
        plain = callbacks->writable;
        break;
    case DINV_RELAY_NOTIFY_REFUSED:
        with_error = callbacks->refused;
        break;
    case DINV_RELAY_NOTIFY_RESET:
        with_error = callbacks->reset;
        break;
    case DINV_RELAY_NOTIFY_NOTHING:
        break;
    }
    if (plain != NULL) {
        plain(mux->user, stream);
    } else if (with_error != NULL) {
        with_error(mux->user, stream, error);
    }
}

bool dinv_relay_stream_credit_is_due(const DinvRelayStream *stream) {
    uint32_t enough = stream->window / 4;
    return (stream->state == DINV_RELAY_STATE_OPEN ||
            stream->state == DINV_RELAY_STATE_FINISHED_LOCAL) &&
           stream->consumed >= (enough > 0 ? enough : 1);
}

size_t dinv_relay_stream_next_len(const DinvRelayStream *stream) {
    const DinvRelayMux *mux = stream->mux;
    size_t len = dinv_relay_queue_first_len(&stream->output);
    len = len < mux->limits.max_payload ? len : mux->limits.max_payload;
    if (stream->send_credit >= len) {
        return len;
    }
    /* Credit comes in large pieces: wait for the next one rather than to cut a frame, unless the
     * whole window would not do. */
    return stream->send_credit > mux->peer_window / 2 ? stream->send_credit : 0;
}

bool dinv_relay_stream_has_output(const DinvRelayStream *stream) {
    const uint8_t at_once = DINV_RELAY_PENDING_OPEN | DINV_RELAY_PENDING_ACCEPT |
                            DINV_RELAY_PENDING_REFUSED | DINV_RELAY_PENDING_RESET;
    if ((stream->pending & at_once) != 0) {
        return true;
    }
    switch (stream->state) {
    case DINV_RELAY_STATE_OPEN:
    case DINV_RELAY_STATE_FINISHED_LOCAL:
    case DINV_RELAY_STATE_FINISHED_PEER:
    case DINV_RELAY_STATE_FINISHED_BOTH:
    case DINV_RELAY_STATE_LINGERING:
        if (stream->output.len > 0) {
            return dinv_relay_stream_next_len(stream) > 0 ||
                   dinv_relay_stream_credit_is_due(stream);
        }
        return (stream->pending & DINV_RELAY_PENDING_FIN) != 0 ||
               dinv_relay_stream_credit_is_due(stream);
    case DINV_RELAY_STATE_OPENING:
    case DINV_RELAY_STATE_OPENING_FINISHED:
    case DINV_RELAY_STATE_OFFERED:
    case DINV_RELAY_STATE_OFFERED_FINISHED:
    case DINV_RELAY_STATE_UNREAD:
    case DINV_RELAY_STATE_BROKEN:
    case DINV_RELAY_STATE_LEAVING:
    case DINV_RELAY_STATE_GONE:
        break;
    }
    return false;
}

void dinv_relay_stream_update(DinvRelayStream *stream) {
    bool closed =
        stream->state == DINV_RELAY_STATE_LINGERING || stream->state == DINV_RELAY_STATE_LEAVING;
    if (closed && stream->pending == 0 && stream->output.len == 0) {
        stream_set_state(
            stream,
            (DinvRelayState)dinv_relay_transition(stream->state, DINV_RELAY_EVENT_FLUSHED)->next);
        dinv_relay_stream_free(stream);
    } else if (dinv_relay_stream_has_output(stream)) {
        join_turns(stream);
    } else {
        dinv_relay_stream_leave_turns(stream);
    }
}

DinvRelayStream *dinv_relay_open(DinvRelayMux *mux, const char *service, const uint8_t *argument,
                                 size_t argument_len, void *data, int *error) {
    size_t service_len = strnlen(service, DINV_RELAY_SERVICE_MAX + 1);
    int problem = 0;
    DinvRelayStream *stream = NULL;
    if (service_len == 0 || service_len > DINV_RELAY_SERVICE_MAX ||
        argument_len > DINV_RELAY_ARGUMENT_MAX) {
        problem = -EINVAL;
    } else if (mux->session == DINV_RELAY_SESSION_DEAD) {
        problem = -EPROTO;
    } else if (mux->stream_count >= mux->limits.max_streams ||
               mux->next_id > UINT32_MAX - 2 * mux->limits.max_streams - 2) {
        problem = -EMFILE; /* or ids ran out: after 2^31 streams the epoch is used up */
    } else {
        stream = dinv_relay_stream_new(mux, DINV_RELAY_STATE_OPENING, 0,
                                       DINV_RELAY_HEADER_SIZE + 1 + service_len + argument_len);
        problem = stream == NULL ? -ENOMEM : 0;
    }
    if (stream == NULL) {
        if (error != NULL) {
            *error = problem;
        }
        return NULL;
    }
    uint8_t *payload = stream->open_frame + DINV_RELAY_HEADER_SIZE;
    payload[0] = (uint8_t)service_len;
    memcpy(payload + 1, service, service_len);
    if (argument_len > 0) {
        memcpy(payload + 1 + service_len, argument, argument_len);
    }
    stream->data = data;
    stream->pending = DINV_RELAY_PENDING_OPEN;
    dinv_relay_stream_update(stream);
    return stream;
}

void dinv_relay_stream_accept(DinvRelayStream *stream) {
    (void)dinv_relay_stream_event(stream, DINV_RELAY_EVENT_ACCEPT, 0);
}

void dinv_relay_stream_refuse(DinvRelayStream *stream, int error) {
    (void)dinv_relay_stream_event(stream, DINV_RELAY_EVENT_REFUSE, error);
}

void *dinv_relay_stream_get_data(const DinvRelayStream *stream) {
    return stream->data;
}

void dinv_relay_stream_set_data(DinvRelayStream *stream, void *data) {
    stream->data = data;
}

/* 0 if the user may still write, else the negative errno for it. */
static int write_error(const DinvRelayStream *stream) {
    switch (stream->state) {
    case DINV_RELAY_STATE_OPENING:
    case DINV_RELAY_STATE_OFFERED:
    case DINV_RELAY_STATE_OPEN:
    case DINV_RELAY_STATE_FINISHED_PEER:
        return 0;
    case DINV_RELAY_STATE_OPENING_FINISHED:
    case DINV_RELAY_STATE_OFFERED_FINISHED:
    case DINV_RELAY_STATE_FINISHED_LOCAL:
    case DINV_RELAY_STATE_FINISHED_BOTH:
    case DINV_RELAY_STATE_UNREAD:
        return -EPIPE;
    case DINV_RELAY_STATE_BROKEN:
    case DINV_RELAY_STATE_LINGERING:
    case DINV_RELAY_STATE_LEAVING:
    case DINV_RELAY_STATE_GONE:
        break;
    }
    return -ECONNRESET;
}

size_t dinv_relay_stream_writable_bytes(const DinvRelayStream *stream) {
    return write_error(stream) == 0 ? stream->mux->limits.send_buffer - stream->output.len : 0;
}

ssize_t dinv_relay_stream_write(DinvRelayStream *stream, const void *bytes, size_t len) {
    int error = write_error(stream);
    if (error != 0 || len == 0) {
        return error;
    }
    size_t room = dinv_relay_stream_writable_bytes(stream);
    stream->wants_writable = stream->wants_writable || len >= room;
    if (room == 0) {
        return -EAGAIN;
    }
    size_t taken = dinv_relay_queue_append(&stream->output, &stream->mux->heap, bytes,
                                           len < room ? len : room);
    dinv_relay_stream_update(stream);
    return taken > 0 ? (ssize_t)taken : -ENOMEM;
}

ssize_t dinv_relay_stream_reserve(DinvRelayStream *stream, uint8_t **bytes) {
    int error = write_error(stream);
    if (error != 0) {
        return error;
    }
    size_t room = dinv_relay_stream_writable_bytes(stream);
    if (room == 0) {
        stream->wants_writable = true;
        return -EAGAIN;
    }
    size_t len = dinv_relay_queue_reserve(&stream->output, &stream->mux->heap, bytes);
    if (len == 0) {
        return -ENOMEM;
    }
    return (ssize_t)(len < room ? len : room);
}

void dinv_relay_stream_commit(DinvRelayStream *stream, size_t len) {
    dinv_relay_queue_commit(&stream->output, &stream->mux->heap, len);
    if (dinv_relay_stream_writable_bytes(stream) == 0) {
        stream->wants_writable = true;
    }
    dinv_relay_stream_update(stream);
}

void dinv_relay_stream_finish(DinvRelayStream *stream) {
    const DinvRelayTransition *transition =
        dinv_relay_stream_event(stream, DINV_RELAY_EVENT_FINISH, 0);
    if (transition->verdict == DINV_RELAY_VERDICT_GO) {
        stream->wants_writable = true;
    }
}

ssize_t dinv_relay_stream_peek(const DinvRelayStream *stream, const uint8_t **bytes) {
    switch (stream->state) {
    case DINV_RELAY_STATE_BROKEN:
    case DINV_RELAY_STATE_LINGERING:
    case DINV_RELAY_STATE_LEAVING:
    case DINV_RELAY_STATE_GONE:
        return -ECONNRESET;
    case DINV_RELAY_STATE_FINISHED_PEER:
    case DINV_RELAY_STATE_FINISHED_BOTH:
    case DINV_RELAY_STATE_UNREAD:
        return (ssize_t)dinv_relay_queue_peek(&stream->input, bytes);
    case DINV_RELAY_STATE_OPENING:
    case DINV_RELAY_STATE_OPENING_FINISHED:
    case DINV_RELAY_STATE_OFFERED:
    case DINV_RELAY_STATE_OFFERED_FINISHED:
    case DINV_RELAY_STATE_OPEN:
    case DINV_RELAY_STATE_FINISHED_LOCAL:
        break;
    }
    size_t len = dinv_relay_queue_peek(&stream->input, bytes);
    return len > 0 ? (ssize_t)len : -EAGAIN;
}

void dinv_relay_stream_consume(DinvRelayStream *stream, size_t len) {
    size_t dropped = dinv_relay_queue_consume(&stream->input, &stream->mux->heap, len);
    stream->consumed += (uint32_t)dropped;
    dinv_relay_stream_update(stream);
}

bool dinv_relay_stream_is_flushed(const DinvRelayStream *stream) {
    bool finished = stream->state == DINV_RELAY_STATE_FINISHED_LOCAL ||
                    stream->state == DINV_RELAY_STATE_FINISHED_BOTH;
    return stream->state == DINV_RELAY_STATE_UNREAD ||
           (finished && (stream->pending & DINV_RELAY_PENDING_FIN) == 0);
}

void dinv_relay_stream_close(DinvRelayStream *stream, int error) {
    stream->mux->handle_count--;
    stream->lost = false;
    (void)dinv_relay_stream_event(stream, DINV_RELAY_EVENT_CLOSE, error > 0 ? error : ECANCELED);
}

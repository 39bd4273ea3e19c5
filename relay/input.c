/* SPDX-License-Identifier: MIT */
/* input: takes apart what the peer sends. All of it is untrusted. */
#include <errno.h>
#include <string.h>

#include "relay/mux-internal.h"

/* Whether the id belongs to a stream of this session that is over: frames that the peer sent
 * before it knew may still come. */
static bool id_is_past(const DinvRelayMux *mux, uint32_t id) {
    bool ours = (id & 1u) == (dinv_relay_first_id(mux->role) & 1u);
    return id != 0 && (ours ? id < mux->next_id : id <= mux->last_peer_id);
}

static int wire_errno(uint32_t value) {
    return value >= 1 && value <= DINV_RELAY_ERRNO_MAX ? (int)value : EPROTO;
}

static int input_on_open(DinvRelayMux *mux, const uint8_t *payload, size_t len) {
    uint32_t id = mux->header.stream;
    size_t name_len = payload[0];
    bool theirs = (id & 1u) != (dinv_relay_first_id(mux->role) & 1u);
    if (id == 0 || !theirs || id <= mux->last_peer_id || name_len == 0 ||
        name_len > DINV_RELAY_SERVICE_MAX || name_len > len - 1 ||
        len - 1 - name_len > DINV_RELAY_ARGUMENT_MAX ||
        memchr(payload + 1, '\0', name_len) != NULL) {
        return -EPROTO;
    }
    mux->last_peer_id = id;
    if (mux->stream_count >= mux->limits.max_streams) {
        return dinv_relay_refusal_add(mux, id, EMFILE);
    }
    if (mux->callbacks.incoming == NULL) {
        return dinv_relay_refusal_add(mux, id, ECONNREFUSED);
    }
    DinvRelayStream *stream = dinv_relay_stream_new(mux, DINV_RELAY_STATE_OFFERED, id, 0);
    if (stream == NULL) {
        return dinv_relay_refusal_add(mux, id, ENOMEM);
    }
    char service[DINV_RELAY_SERVICE_MAX + 1];
    memcpy(service, payload + 1, name_len);
    service[name_len] = '\0';
    mux->callbacks.incoming(mux->user, stream, service, payload + 1 + name_len, len - 1 - name_len);
    return 0;
}

static int input_on_credit(DinvRelayStream *stream, uint32_t amount) {
    if (amount == 0 || amount > DINV_RELAY_WINDOW_MAX - stream->send_credit) {
        return -EPROTO;
    }
    stream->send_credit += amount;
    dinv_relay_stream_update(stream);
    return 0;
}

/* A whole frame with a payload of at most four bytes, for a stream. */
static int input_on_control(DinvRelayMux *mux, const uint8_t *payload) {
    static const DinvRelayEvent events[] = {
        [DINV_RELAY_FRAME_ACCEPT] = DINV_RELAY_EVENT_PEER_ACCEPT,
        [DINV_RELAY_FRAME_REFUSED] = DINV_RELAY_EVENT_PEER_REFUSED,
        [DINV_RELAY_FRAME_CREDIT] = DINV_RELAY_EVENT_PEER_CREDIT,
        [DINV_RELAY_FRAME_FIN] = DINV_RELAY_EVENT_PEER_FIN,
        [DINV_RELAY_FRAME_RESET] = DINV_RELAY_EVENT_PEER_RESET,
    };
    uint32_t value = mux->header.length == 4 ? dinv_relay_get_u32(payload) : 0;
    DinvRelayEvent event = events[mux->header.type];
    DinvRelayStream *stream = dinv_relay_stream_find(mux, mux->header.stream);
    if (stream == NULL) {
        if (!id_is_past(mux, mux->header.stream)) {
            return -EPROTO;
        }
        if (event == DINV_RELAY_EVENT_PEER_RESET) {
            dinv_relay_refusal_remove(mux, mux->header.stream);
        }
        return 0;
    }
    const DinvRelayTransition *transition = dinv_relay_stream_event(stream, event, 0);
    if (transition->verdict == DINV_RELAY_VERDICT_VIOLATION) {
        return -EPROTO;
    }
    if (transition->verdict == DINV_RELAY_VERDICT_TAKE && event == DINV_RELAY_EVENT_PEER_CREDIT) {
        return input_on_credit(stream, value);
    }
    dinv_relay_stream_notify(stream, (DinvRelayNotify)transition->notify, wire_errno(value));
    return 0;
}

/* The header of a DATA frame: may it come at all, and is there credit for it? */
static int input_on_data_header(DinvRelayMux *mux) {
    DinvRelayStream *stream = dinv_relay_stream_find(mux, mux->header.stream);
    if (stream == NULL) {
        return id_is_past(mux, mux->header.stream) ? 0 : -EPROTO;
    }
    switch (dinv_relay_transition(stream->state, DINV_RELAY_EVENT_PEER_DATA)->verdict) {
    case DINV_RELAY_VERDICT_TAKE:
        if (mux->header.length > stream->receive_credit) {
            return -EPROTO;
        }
        stream->receive_credit -= mux->header.length;
        return 0;
    case DINV_RELAY_VERDICT_IGNORE:
        return 0;
    default:
        return -EPROTO;
    }
}

/* Most readers take all at once, straight from the fed bytes; what they leave is copied. The
 * callback may close the stream, so it is looked up again. */
static void lend_data(DinvRelayMux *mux, DinvRelayStream *stream, const uint8_t *bytes,
                      size_t len) {
    uint32_t id = stream->id;
    dinv_relay_queue_lend(&stream->input, bytes, len);
    dinv_relay_stream_notify(stream, DINV_RELAY_NOTIFY_READABLE, 0);
    stream = dinv_relay_stream_find(mux, id);
    if (stream != NULL && !dinv_relay_queue_keep(&stream->input, &mux->heap)) {
        const DinvRelayTransition *transition =
            dinv_relay_stream_event(stream, DINV_RELAY_EVENT_FAILED, ENOMEM);
        dinv_relay_stream_notify(stream, (DinvRelayNotify)transition->notify, ENOMEM);
    }
}

/* A piece of the payload of a DATA frame whose header passed. The stream may have been closed
 * since, and an earlier piece may have done it. */
static void input_on_data(DinvRelayMux *mux, const uint8_t *bytes, size_t len) {
    DinvRelayStream *stream = dinv_relay_stream_find(mux, mux->header.stream);
    if (stream == NULL) {
        return;
    }
    const DinvRelayTransition *transition =
        dinv_relay_transition(stream->state, DINV_RELAY_EVENT_PEER_DATA);
    if (transition->verdict != DINV_RELAY_VERDICT_TAKE) {
        return;
    }
    if (transition->notify == DINV_RELAY_NOTIFY_READABLE && stream->input.len == 0 && len > 0) {
        lend_data(mux, stream, bytes, len);
        return;
    }
    if (dinv_relay_queue_append(&stream->input, &mux->heap, bytes, len) < len) {
        transition = dinv_relay_stream_event(stream, DINV_RELAY_EVENT_FAILED, ENOMEM);
    }
    dinv_relay_stream_notify(stream, (DinvRelayNotify)transition->notify, ENOMEM);
}

static int input_on_hello(DinvRelayMux *mux) {
    uint8_t frame[DINV_RELAY_HELLO_SIZE];
    DinvRelayHello hello;
    memcpy(frame, mux->header_bytes, DINV_RELAY_HEADER_SIZE);
    memcpy(frame + DINV_RELAY_HEADER_SIZE, mux->small,
           DINV_RELAY_HELLO_SIZE - DINV_RELAY_HEADER_SIZE);
    return dinv_relay_hello_decode(frame, &hello) ? dinv_relay_session_hello(mux, &hello) : -EPROTO;
}

/* The end of a frame other than DATA. */
static int input_on_frame(DinvRelayMux *mux, const uint8_t *payload) {
    mux->in_payload = false;
    switch (mux->header.type) {
    case DINV_RELAY_FRAME_OPEN:
        return input_on_open(mux, payload, mux->header.length);
    case DINV_RELAY_FRAME_HELLO:
        return input_on_hello(mux);
    default:
        return input_on_control(mux, payload);
    }
}

/* Takes what it needs for a header; *used says how much that was. */
static int feed_header(DinvRelayMux *mux, const uint8_t *data, size_t len, size_t *used) {
    size_t at = 0;
    if (mux->header_len == 0) {
        while (at < len && data[at] == DINV_RELAY_FRAME_PAD) {
            at++;
        }
    }
    size_t want = DINV_RELAY_HEADER_SIZE - mux->header_len;
    size_t part = len - at < want ? len - at : want;
    memcpy(mux->header_bytes + mux->header_len, data + at, part);
    mux->header_len += part;
    *used = at + part;
    if (mux->header_len < DINV_RELAY_HEADER_SIZE) {
        return 0;
    }
    mux->header_len = 0;
    mux->payload_len = 0;
    if (!dinv_relay_header_decode(mux->header_bytes, &mux->header)) {
        return -EPROTO;
    }
    mux->in_payload = true;
    if (mux->header.type == DINV_RELAY_FRAME_DATA) {
        return input_on_data_header(mux);
    }
    if (mux->header.length == 0) { /* ACCEPT and FIN */
        mux->in_payload = false;
        return input_on_control(mux, NULL);
    }
    return 0;
}

/* The payload of an OPEN that does not come in one piece is collected on the heap. */
static int feed_open(DinvRelayMux *mux, const uint8_t *data, size_t part) {
    if (mux->open_payload == NULL) {
        mux->open_payload = dinv_relay_heap_alloc(&mux->heap, mux->header.length);
        if (mux->open_payload == NULL) {
            return -EPROTO; /* without memory the session cannot go on */
        }
    }
    memcpy(mux->open_payload + mux->payload_len, data, part);
    mux->payload_len += part;
    if (mux->payload_len < mux->header.length) {
        return 0;
    }
    uint8_t *payload = mux->open_payload;
    size_t size = mux->header.length;
    mux->open_payload = NULL;
    int result = input_on_frame(mux, payload);
    dinv_relay_heap_free(&mux->heap, payload, size);
    return result;
}

static int feed_payload(DinvRelayMux *mux, const uint8_t *data, size_t len, size_t *used) {
    size_t want = mux->header.length - mux->payload_len;
    size_t part = len < want ? len : want;
    *used = part;
    if (mux->header.type == DINV_RELAY_FRAME_DATA) {
        mux->payload_len += part;
        mux->in_payload = mux->payload_len < mux->header.length;
        input_on_data(mux, data, part);
        return 0;
    }
    if (mux->header.type == DINV_RELAY_FRAME_OPEN) {
        bool whole = mux->payload_len == 0 && part == want;
        return whole ? input_on_frame(mux, data) : feed_open(mux, data, part);
    }
    memcpy(mux->small + mux->payload_len, data, part);
    mux->payload_len += part;
    return mux->payload_len == mux->header.length ? input_on_frame(mux, mux->small) : 0;
}

static int feed_search(DinvRelayMux *mux, const uint8_t *data, size_t len, size_t *used) {
    DinvRelayHello hello;
    bool found;
    *used = dinv_relay_hello_find(&mux->finder, data, len, &hello, &found);
    return found ? dinv_relay_session_hello(mux, &hello) : 0;
}

int dinv_relay_mux_feed(DinvRelayMux *mux, const uint8_t *data, size_t len) {
    if (mux->session == DINV_RELAY_SESSION_DEAD) {
        return -EPROTO;
    }
    mux->bytes_in += len;
    while (len > 0) {
        size_t used = 0;
        int result;
        if (mux->session != DINV_RELAY_SESSION_CONNECTED) {
            result = feed_search(mux, data, len, &used);
        } else if (mux->in_payload) {
            result = feed_payload(mux, data, len, &used);
        } else {
            result = feed_header(mux, data, len, &used);
        }
        if (result < 0) {
            dinv_relay_session_end(mux, DINV_RELAY_SESSION_DEAD, EPROTO);
            return -EPROTO;
        }
        data += used;
        len -= used;
    }
    return 0;
}

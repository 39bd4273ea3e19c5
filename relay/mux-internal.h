/* SPDX-License-Identifier: MIT */
/*
 * mux-internal: what the files of the mux share; not for other rooms.
 *
 * Theory of operation. A mux is a session with the peer (mux.c) and a set of streams (stream.c).
 * feed() takes the peer's bytes apart (input.c): data goes from the fed bytes to the reader, or
 * into the receive queue of its stream if he does not take it at once. peek() puts frames together
 * (output.c): small ones are gathered in a buffer, a large DATA frame leaves as the chunk of the
 * send queue that holds its bytes, with the header in the chunk's headroom, so that bytes are not
 * copied between the write and the transport. A stream that has something to send is in the list of
 * turns, at most once; peek() takes the first, lets it send its control frames and at most
 * max_payload bytes, and puts it back at the end if there is more. Whether a stream has something
 * to send is a pure question (stream_has_output); every function that may change the answer ends in
 * dinv_relay_stream_update(), which keeps the list true, and frees a stream whose last frame left.
 *
 * Everything that happens to a stream is an event of the table in state.c, and goes through
 * dinv_relay_stream_event(), whose one setter changes the state. The callback that a transition
 * names runs last, since it may close the stream: nobody touches a stream after its callback.
 */
#pragma once

#include "relay/buffer.h"
#include "relay/frame.h"
#include "relay/mux.h"
#include "relay/state.h"

/* Frames that wait to leave, as bits; they leave in this order, data between CREDIT and FIN. */
enum {
    DINV_RELAY_PENDING_OPEN = 1u << 0,
    DINV_RELAY_PENDING_ACCEPT = 1u << 1,
    DINV_RELAY_PENDING_REFUSED = 1u << 2,
    DINV_RELAY_PENDING_FIN = 1u << 3,
    DINV_RELAY_PENDING_RESET = 1u << 4,
};

struct DinvRelayStream {
    DinvRelayMux *mux;
    void *data;
    uint32_t id; /* 0 until the OPEN begins to leave, and after its session ended */
    DinvRelayState state;
    uint8_t pending;
    bool in_turns;
    bool wants_writable; /* the user is to hear of room, or of having been flushed */
    bool lost;           /* the reset callback for the end of the session is still to come */
    int error;           /* of the refusal or reset that waits to leave; positive */

    DinvRelayQueue input;
    uint32_t window;         /* grows as long as the reader keeps up */
    uint32_t receive_credit; /* what the peer may still send */
    uint32_t consumed;       /* bytes whose credit has not been given back yet */
    DinvRelayQueue output;
    uint32_t send_credit;

    uint8_t *open_frame; /* the OPEN frame, until it has left */
    size_t open_len;
    size_t open_sent;

    DinvRelayStream *next, *previous;           /* all streams of the mux */
    DinvRelayStream *next_turn, *previous_turn; /* those with output */
    DinvRelayStream *next_in_bucket;
};

/* Frames that are gathered to leave at once: as much as a full chunk with its header. */
#define DINV_RELAY_GATHER_SIZE (DINV_RELAY_HEADROOM + DINV_RELAY_CHUNK_SIZE)

typedef struct {
    uint32_t stream;
    int error;
} DinvRelayRefusal;

typedef struct {
    DinvRelayStream *first;
} DinvRelayBucket;

typedef enum {
    DINV_RELAY_SESSION_SEARCHING, /* discards bytes until a hello that answers ours */
    DINV_RELAY_SESSION_CONNECTED,
    DINV_RELAY_SESSION_DEAD, /* the peer broke the protocol */
} DinvRelaySession;

struct DinvRelayMux {
    DinvRelayRole role;
    uint64_t epoch;
    DinvRelayLimits limits;
    DinvRelayCallbacks callbacks;
    void *user;
    DinvRelayHeap heap;

    DinvRelaySession session;
    uint64_t peer_epoch;
    uint32_t peer_window;
    bool hello_pending;
    bool answering; /* our last or next hello answers `answers` */
    uint64_t answers;
    uint32_t padding; /* zero bytes to leave before the hello */

    /* Input: a header, or the payload of one, in pieces. */
    DinvRelayHelloFinder finder;
    uint8_t header_bytes[DINV_RELAY_HEADER_SIZE];
    size_t header_len;
    bool in_payload;
    DinvRelayHeader header;
    size_t payload_len;                   /* how much of it has come */
    uint8_t small[DINV_RELAY_HELLO_SIZE]; /* payload of a control frame */
    uint8_t *open_payload;                /* payload of an OPEN that comes in pieces */

    /* Output. */
    DinvRelayStream *first_turn, *last_turn;
    DinvRelayStream *partial; /* its OPEN has left in part: nothing may come between */
    size_t gathered_start;    /* of what is left in `gathered`; it leaves before `leaving` */
    size_t gathered_end;
    DinvRelayChunk *leaving; /* a frame of its own, of which `left` bytes have gone */
    size_t left;
    uint8_t gathered[DINV_RELAY_GATHER_SIZE];
    DinvRelayRefusal *refusals; /* of opens that never became streams, by rising id */
    size_t refusal_count;
    size_t refusal_capacity;

    DinvRelayStream *streams;
    DinvRelayStream *cursor;  /* of the loop that tells the streams of a lost session */
    DinvRelayBucket *buckets; /* of the streams, by id */
    size_t bucket_count;      /* a power of two */
    uint32_t stream_count;
    uint32_t handle_count;
    uint32_t next_id;      /* of the next stream that we open */
    uint32_t last_peer_id; /* of the last stream that the peer opened */
    uint32_t window_more;  /* what windows have grown by */
    uint64_t opened_total, bytes_in, bytes_out;
};

/* mux.c: the session. */
uint32_t dinv_relay_first_id(DinvRelayRole role);
/* Ends the session, or what there was of one: every stream breaks. Runs callbacks. */
void dinv_relay_session_end(DinvRelayMux *mux, DinvRelaySession next, int error);
/* A hello came. 0 or -EPROTO. Runs callbacks. */
int dinv_relay_session_hello(DinvRelayMux *mux, const DinvRelayHello *hello);

/* stream.c. NULL if out of memory. The id may be 0; `frame_len` > 0 reserves an open_frame. */
DinvRelayStream *dinv_relay_stream_new(DinvRelayMux *mux, DinvRelayState state, uint32_t id,
                                       size_t frame_len);
DinvRelayStream *dinv_relay_stream_find(const DinvRelayMux *mux, uint32_t id);
void dinv_relay_stream_set_id(DinvRelayStream *stream, uint32_t id);
void dinv_relay_stream_free(DinvRelayStream *stream);
/* Carries out the transition, without its callback: that is the caller's next and last step. The
 * stream may be freed if its handle was given up; `error` > 0 goes with REFUSE and CLOSE. */
const DinvRelayTransition *dinv_relay_stream_event(DinvRelayStream *stream, DinvRelayEvent event,
                                                   int error);
/* Calls the callback; nothing may touch the stream afterwards. */
void dinv_relay_stream_notify(DinvRelayStream *stream, DinvRelayNotify notify, int error);
/* Keeps the list of turns true; frees a closed stream with nothing left to send. */
void dinv_relay_stream_update(DinvRelayStream *stream);
bool dinv_relay_stream_has_output(const DinvRelayStream *stream);
/* How many bytes its next DATA frame is to have; 0: none, for want of bytes or of credit. */
size_t dinv_relay_stream_next_len(const DinvRelayStream *stream);
/* Whether the peer may send and has not finished: credit is worth giving. */
bool dinv_relay_stream_credit_is_due(const DinvRelayStream *stream);
/* Takes the stream out of its turn; update() puts it back, at the end. */
void dinv_relay_stream_leave_turns(DinvRelayStream *stream);

/* output.c: a refusal for an open that never became a stream. 0, -ENOMEM or -EPROTO (the peer has
 * more opens unanswered than it may). */
int dinv_relay_refusal_add(DinvRelayMux *mux, uint32_t id, int error);
void dinv_relay_refusal_remove(DinvRelayMux *mux, uint32_t id);
/* Forgets what was put together and has not left. */
void dinv_relay_output_drop(DinvRelayMux *mux);

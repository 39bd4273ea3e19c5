/* SPDX-License-Identifier: MIT */
/*
 * The room relay: many byte streams over one, between the launcher and the guest. Here live the
 * frame codec (frame.h), the streams with credit and half-close (mux.h, state.h), and the framing
 * of the exec service (exec.h); the wire is specified in docs/relay-protocol.md. Both sides compile
 * these files: GLib, I/O and what a service does may not enter. Errors are negative errno values.
 *
 * mux.h: a multiplexer without I/O. The owner feeds it the bytes that came from the peer and takes
 * the bytes that are to go there; callbacks tell what happened to streams.
 *
 * Ownership: a stream handle belongs to the user of the mux from the moment it is returned by
 * dinv_relay_open() or given to the `incoming` callback, until dinv_relay_stream_close(). The mux
 * never frees a handle on its own; after `refused` or `reset` the handle only answers queries and
 * close. dinv_relay_mux_free() requires that every handle was closed before.
 *
 * Callbacks run only from within dinv_relay_mux_feed(), _peek() and _restart(), never from within
 * the stream functions; a callback may call every stream function, on any stream, including close
 * of the one it is called for. A callback must not call feed, peek, restart or mux_free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct DinvRelayMux DinvRelayMux;
typedef struct DinvRelayStream DinvRelayStream;

typedef enum {
    DINV_RELAY_LAUNCHER, /* opens streams with even ids */
    DINV_RELAY_GUEST,    /* opens streams with odd ids */
} DinvRelayRole;

/* Sizes in bytes. A zero field means the default. */
typedef struct {
    uint32_t max_streams; /* both directions together; opens beyond are refused with EMFILE */
    uint32_t window;      /* receive buffer of a stream = the credit its peer starts with */
    uint32_t window_max;  /* of a stream whose reader keeps up; default: `window` if it is given */
    uint32_t window_more; /* what the windows of all streams together may grow by */
    uint32_t send_buffer; /* bytes a stream accepts before dinv_relay_stream_write() is short */
    uint32_t max_payload; /* largest data payload sent in one frame; fairness granularity */
} DinvRelayLimits;

/* Largest service name, and largest argument block that may accompany an open, in bytes. */
#define DINV_RELAY_SERVICE_MAX  32u
#define DINV_RELAY_ARGUMENT_MAX 32768u

typedef struct {
    /* The peer opens `service`. Answer with accept or refuse, now or later. `argument` is borrowed
     * for the call. Bytes may be read only after accept. */
    void (*incoming)(void *user, DinvRelayStream *stream, const char *service,
                     const uint8_t *argument, size_t argument_len);
    /* The peer accepted a stream that we opened. */
    void (*opened)(void *user, DinvRelayStream *stream);
    /* The peer refused a stream that we opened: `error` is a positive errno. Final. */
    void (*refused)(void *user, DinvRelayStream *stream, int error);
    /* Bytes or the end of the stream can be read. Edge: once per arrival, not repeated. */
    void (*readable)(void *user, DinvRelayStream *stream);
    /* A write that was short, refused with -EAGAIN or filled the buffer can go on; or the last byte
     * before a finish has left; or the peer no longer reads (a write says -EPIPE). */
    void (*writable)(void *user, DinvRelayStream *stream);
    /* The stream broke: the peer reset it, or the peer (or the mux) started anew. Final. A peer
     * that resets after its own finish has only stopped to read: that is `writable` and -EPIPE,
     * what it sent before stays readable to the end. */
    void (*reset)(void *user, DinvRelayStream *stream, int error);
} DinvRelayCallbacks;

/* `limits` may be NULL; it and `callbacks` are copied, and any callback may be NULL (without
 * `incoming` every open of the peer is refused with ECONNREFUSED). `epoch` is any number that
 * differs from the one used by an earlier mux on the same transport; take a random one (getrandom),
 * so that bytes left over in the transport cannot pass for an answer to it. NULL if out of memory.
 */
DinvRelayMux *dinv_relay_mux_new(DinvRelayRole role, uint64_t epoch, const DinvRelayLimits *limits,
                                 const DinvRelayCallbacks *callbacks, void *user);
/* NULL is ignored. */
void dinv_relay_mux_free(DinvRelayMux *mux);

/* Bytes that came from the peer, in any split. 0, or -EPROTO when they break the protocol: the mux
 * is then dead (every stream was reset with EPROTO, feed, peek and pull answer -EPROTO) until
 * dinv_relay_mux_restart(). */
int dinv_relay_mux_feed(DinvRelayMux *mux, const uint8_t *data, size_t len);

/* Shows the next bytes for the peer, where they lie: returns how many (32 KiB at most), 0 if there
 * is nothing to send. *bytes is valid until the next consume or restart. Streams take turns,
 * at most max_payload bytes each. */
ssize_t dinv_relay_mux_peek(DinvRelayMux *mux, const uint8_t **bytes);
/* The first `len` bytes of what peek showed have gone. */
void dinv_relay_mux_consume(DinvRelayMux *mux, size_t len);

/* Whether a peek would show bytes: the owner's question before it waits for POLLOUT. True may
 * follow from any stream function or feed. */
bool dinv_relay_mux_has_output(const DinvRelayMux *mux);

/* The transport was replaced, or the guest restored: reset all streams (ECONNRESET), forget all
 * partial frames, say hello with the new epoch. */
void dinv_relay_mux_restart(DinvRelayMux *mux, uint64_t epoch);

typedef struct {
    uint32_t streams;      /* handles not yet closed */
    uint64_t opened_total; /* streams since the mux was made, both directions */
    uint64_t bytes_in;     /* transport bytes, frames included */
    uint64_t bytes_out;
    size_t memory;        /* bytes of heap now held by the mux and its streams */
    uint64_t allocations; /* heap allocations since the mux was made */
} DinvRelayStats;
void dinv_relay_mux_get_stats(const DinvRelayMux *mux, DinvRelayStats *stats);

/* Opens a stream to a service of the peer. It may be written at once (bytes wait for accept).
 * NULL with *error (may be NULL) set to a negative errno: -EMFILE (max_streams), -ENOMEM, -EINVAL
 * (name or argument too long), -EPROTO (dead mux). `data` is returned by _get_data. */
DinvRelayStream *dinv_relay_open(DinvRelayMux *mux, const char *service, const uint8_t *argument,
                                 size_t argument_len, void *data, int *error);

/* Answers to an `incoming`. Refusing is final; the handle is still to be closed. `error` > 0. */
void dinv_relay_stream_accept(DinvRelayStream *stream);
void dinv_relay_stream_refuse(DinvRelayStream *stream, int error);

void *dinv_relay_stream_get_data(const DinvRelayStream *stream);
void dinv_relay_stream_set_data(DinvRelayStream *stream, void *data);

/* Copies up to `len` bytes in. Returns how many (> 0, or 0 for a `len` of 0), or -EAGAIN (full:
 * wait for `writable`), -EPIPE (finished by us, or the peer no longer reads), -ECONNRESET (reset or
 * refused), -ENOMEM. */
ssize_t dinv_relay_stream_write(DinvRelayStream *stream, const void *bytes, size_t len);
/* How many bytes a write would take now; 0 where it would fail. A write of just as many is followed
 * by `writable` when there is room again. */
size_t dinv_relay_stream_writable_bytes(const DinvRelayStream *stream);
/* Room to put bytes without a copy: returns its length (> 0), or what a write would. *bytes is
 * valid until the next call on this mux. What was filled is then to be committed; 0 is fine. */
ssize_t dinv_relay_stream_reserve(DinvRelayStream *stream, uint8_t **bytes);
/* The first `len` bytes of what was just reserved are written. */
void dinv_relay_stream_commit(DinvRelayStream *stream, size_t len);
/* Half-close: no more bytes from us; those written still go. Idempotent. */
void dinv_relay_stream_finish(DinvRelayStream *stream);

/* The received bytes, contiguous part; *bytes is valid until the next call on this mux. Returns its
 * length (> 0), 0 at the end of the stream (peer finished, all consumed), -EAGAIN when none have
 * come, -ECONNRESET. */
ssize_t dinv_relay_stream_peek(const DinvRelayStream *stream, const uint8_t **bytes);
/* Drops `len` bytes of what peek showed and gives the credit back to the peer. */
void dinv_relay_stream_consume(DinvRelayStream *stream, size_t len);

/* Whether `finish` was called and every byte was taken by the owner (or the peer no longer reads,
 * so that none is left to go). */
bool dinv_relay_stream_is_flushed(const DinvRelayStream *stream);

/* Gives the handle up. A stream that is not over in both directions is reset at the peer with
 * `error` (> 0; 0 means ECANCELED), except that bytes written before a finish still go out when
 * the peer has also finished. */
void dinv_relay_stream_close(DinvRelayStream *stream, int error);

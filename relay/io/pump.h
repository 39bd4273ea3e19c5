/* SPDX-License-Identifier: MIT */
/*
 * The room relay/io: what both ends of the relay do with descriptors. The event loop is the
 * owner's; it, GLib and what a service does may not enter.
 *
 * pump: moves bytes between a nonblocking descriptor and a relay stream, both directions, with
 * half-close both ways: EOF on the descriptor finishes the stream, the end of the stream becomes
 * shutdown(SHUT_WR) (on a socket) or close (on a pipe end). Never blocks; the owner's loop calls
 * dinv_relay_pump_ready() and passes the mux's callbacks on.
 */
#pragma once

#include "relay/mux.h"

typedef struct DinvRelayPump DinvRelayPump;

typedef struct {
    /* What to poll `fd` for (level-triggered) from now on: POLLIN and POLLOUT as given; POLLHUP
     * alone: nothing but a hang-up is of interest (poll with no events asked for); 0: take it out
     * of the poll set altogether, since poll() would report a lasting hang-up for ever. May be
     * called from within any pump function, also from dinv_relay_pump_new(). Must not free the
     * pump. */
    void (*watch)(void *user, DinvRelayPump *pump, int fd, short events);
    /* Both directions are over (error 0), or broke (positive errno). Called once, as the last thing
     * a pump function other than new and free does. The pump has closed the stream and the
     * descriptor by then, after watch(…, 0) was called for it; free the pump in here or later. */
    void (*done)(void *user, DinvRelayPump *pump, int error);
    /* More output may be waiting in the mux: called after writes into the stream, and after reads
     * from it (credit). Must not free the pump. */
    void (*output)(void *user);
} DinvRelayPumpCallbacks;

/* Takes over `fd` (a socket or a pipe end; made nonblocking here; the owner of pipes ignores
 * SIGPIPE) and the stream handle, whose data pointer becomes the pump. An open that the peer has
 * yet to accept is fine. NULL if out of memory: then neither was taken. `callbacks` is copied. */
DinvRelayPump *dinv_relay_pump_new(DinvRelayStream *stream, int fd,
                                   const DinvRelayPumpCallbacks *callbacks, void *user);
/* Breaks off what still runs (stream reset, watch(…, 0), fd closed, no `done`). NULL is ignored. */
void dinv_relay_pump_free(DinvRelayPump *pump);

/* poll() said `revents` for the pump's descriptor. */
void dinv_relay_pump_ready(DinvRelayPump *pump, short revents);

/* To be called from the mux's callbacks of the same name for the pump's stream. */
void dinv_relay_pump_stream_readable(DinvRelayPump *pump);
void dinv_relay_pump_stream_writable(DinvRelayPump *pump);
void dinv_relay_pump_stream_broken(DinvRelayPump *pump, int error); /* refused and reset */

void *dinv_relay_pump_get_user(const DinvRelayPump *pump);

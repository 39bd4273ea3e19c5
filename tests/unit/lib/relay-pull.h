/* SPDX-License-Identifier: MIT */
/* What tests ask of a mux beside its public functions: its output copied out, and its session. */
#pragma once

#include <string.h>

#include "relay/mux-internal.h"

/* Peek and consume in one, with a copy: puts up to `cap` bytes into `buffer`, returns how many. */
static inline ssize_t relay_pull(DinvRelayMux *mux, uint8_t *buffer, size_t cap) {
    size_t done = 0;
    while (done < cap) {
        const uint8_t *bytes;
        ssize_t len = dinv_relay_mux_peek(mux, &bytes);
        if (len <= 0) {
            return len < 0 && done == 0 ? len : (ssize_t)done;
        }
        size_t part = (size_t)len < cap - done ? (size_t)len : cap - done;
        memcpy(buffer + done, bytes, part);
        dinv_relay_mux_consume(mux, part);
        done += part;
    }
    return (ssize_t)done;
}

/* Whether the peer's hello has come (in this epoch of the peer). */
static inline bool relay_is_connected(const DinvRelayMux *mux) {
    return mux->session == DINV_RELAY_SESSION_CONNECTED;
}

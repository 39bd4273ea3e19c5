/* SPDX-License-Identifier: MIT */
/*
 * forward: one port of the outer container that is forwarded to one of the guest, as the launcher
 * asked for it, with its counters. What carries a connection or a datagram is in doors.c and udp.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "usernet/protocol.h"

typedef struct DinvUsernetForward {
    DinvUsernetEndpoint endpoint;
    uint16_t guest_port;
    int fd; /* the listener, or the socket of UDP; owned */
    uint64_t connections;
    uint64_t open;
    uint64_t to_guest;
    uint64_t from_guest;
    void *owner;                         /* what its callback needs */
    struct DinvUsernetUdp *udp;          /* likewise */
    struct DinvUsernetForward *next_udp; /* udp.c's */
    struct DinvUsernetForward *next;
} DinvUsernetForward;

/* A non-blocking socket bound to the endpoint, listening if it is of TCP. A negative errno
 * otherwise, with *step what failed: "socket", "bind" or "listen". */
int dinv_usernet_forward_open(const DinvUsernetEndpoint *endpoint, const char **step);

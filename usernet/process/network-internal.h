/* SPDX-License-Identifier: MIT */
/* network: what network.c, forwards.c and stack.c know of one another. */
#pragma once

#include <libslirp.h>

#include "usernet/process/doors.h"
#include "usernet/process/flows.h"
#include "usernet/process/frames.h"
#include "usernet/process/network.h"
#include "usernet/process/reassembly.h"
#include "usernet/process/udp.h"

struct DinvUsernetNetwork {
    DinvUsernetConfig config;
    struct in_addr guest, gateway, resolver;
    DinvUsernetLoop *loop;
    DinvUsernetFrames *frames;
    DinvUsernetFlows *flows;
    DinvUsernetDoors *doors;
    DinvUsernetUdp *udp;
    DinvUsernetReassembly *reassembly;
    DinvUsernetForward *forwards;
    Slirp *slirp;
    /* While libslirp handles a SYN of the guest: the socket that it makes then is this flow's. */
    const DinvUsernetFlowKey *connecting;
    unsigned polled;      /* sockets that libslirp wanted in this turn, doors aside */
    int64_t probes_ns;    /* when half-closed connections were looked at last */
    bool listeners_rest;  /* for want of descriptors */
    int64_t rest_ends_ns; /* then they are tried again, if no descriptor was freed before */
    uint8_t changed[DINV_USERNET_FRAME_MAX]; /* a frame of the guest as libslirp gets it */
};

/* stack.c: libslirp's callbacks, and frames on their way into it. */
Slirp *dinv_usernet_stack_new(DinvUsernetNetwork *network);
void dinv_usernet_stack_input(DinvUsernetNetwork *network, const uint8_t *frame, size_t len);
/* Which sockets it wants; returns how long it can wait in milliseconds, -1 for ever. */
int dinv_usernet_stack_fill(DinvUsernetNetwork *network);
/* Reads and writes what is ready; its timers. */
void dinv_usernet_stack_poll(DinvUsernetNetwork *network);
/* Whether libslirp calls the accept() of doors.c. */
bool dinv_usernet_stack_check(DinvUsernetNetwork *network);

/* probes.c: once a turn. */
void dinv_usernet_probes_tick(DinvUsernetNetwork *network, int64_t now_ns);

/* ends.c. A frame of the guest that libslirp is to get: the same, another, or NULL for none; the
 * packet is changed with it. */
const uint8_t *dinv_usernet_ends_hold(DinvUsernetNetwork *network, DinvUsernetFlow *flow,
                                      DinvUsernetPacket *packet, const uint8_t *frame, size_t len);
/* libslirp wants this socket in this turn; `has_more`: to write what the guest sent. */
void dinv_usernet_ends_polled(DinvUsernetNetwork *network, int fd, bool has_more);
/* Whether what can be read from this socket is an end that libslirp must not see yet. */
bool dinv_usernet_ends_hide(DinvUsernetNetwork *network, int fd);
/* A segment without data of the other end of the connection, to the guest, if that is known and
 * takes frames. */
void dinv_usernet_ends_tell_guest(DinvUsernetNetwork *network, const DinvUsernetFlow *flow,
                                  uint32_t sequence, uint32_t acknowledged);
/* As if the guest had been heard, for a connection that it knows no more. */
void dinv_usernet_ends_keep(DinvUsernetNetwork *network, DinvUsernetFlow *flow, int64_t now_ns);
/* Once a turn, after dinv_usernet_stack_fill(). */
void dinv_usernet_ends_tick(DinvUsernetNetwork *network);

/* forwards.c */
void dinv_usernet_forwards_wake(DinvUsernetNetwork *network);
void dinv_usernet_forwards_free(DinvUsernetNetwork *network);

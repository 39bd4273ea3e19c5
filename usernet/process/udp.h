/* SPDX-License-Identifier: MIT */
/*
 * udp: datagrams of forwards, in both directions, without libslirp. What a client sends becomes
 * frames for the guest, in fragments beyond the MTU; what the guest answers leaves from the
 * forward's own socket, from the address that the client had sent to.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "usernet/process/forward.h"
#include "usernet/process/frames.h"
#include "usernet/process/packet.h"

typedef struct DinvUsernetUdp DinvUsernetUdp;

typedef struct {
    struct in_addr network, mask, gateway, guest;
    unsigned mtu;
} DinvUsernetUdpConfig;

/* Borrows `loop` and `frames`; NULL without memory. */
DinvUsernetUdp *dinv_usernet_udp_new(DinvUsernetLoop *loop, DinvUsernetFrames *frames,
                                     const DinvUsernetUdpConfig *config);
void dinv_usernet_udp_free(DinvUsernetUdp *udp);

/* Watches the forward's socket; 0 or a negative errno. The forward is borrowed until it is
 * removed. */
int dinv_usernet_udp_add(DinvUsernetUdp *udp, DinvUsernetForward *forward);
void dinv_usernet_udp_remove(DinvUsernetUdp *udp, DinvUsernetForward *forward);

/* Whether a whole packet of the guest was an answer, and has been handled. */
bool dinv_usernet_udp_from_guest(DinvUsernetUdp *udp, const DinvUsernetPacket *packet);
/* The guest's address in Ethernet, from any frame of its own. Until it is known nothing is read
 * from the sockets. */
void dinv_usernet_udp_learn(DinvUsernetUdp *udp, const uint8_t mac[static 6]);

/* What was learnt, 6 bytes, borrowed; NULL before. */
const uint8_t *dinv_usernet_udp_guest_mac(const DinvUsernetUdp *udp);
const uint8_t *dinv_usernet_udp_own_mac(const DinvUsernetUdp *udp);

/* Once a turn: asks the guest for its address again, forgets silent flows. Returns milliseconds
 * until it has to be called again, -1 for never. */
int dinv_usernet_udp_tick(DinvUsernetUdp *udp, int64_t now_ns);

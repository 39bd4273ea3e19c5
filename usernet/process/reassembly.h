/* SPDX-License-Identifier: MIT */
/*
 * reassembly: datagrams that the guest sent in fragments (RFC 791), for flows that are ours. A
 * fragment has to follow the one before it, as every sender and every bridge sends them; one that
 * does not ends its datagram. Eight datagrams can be under way at a time; the oldest makes room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usernet/process/packet.h"

#define DINV_USERNET_REASSEMBLY_SLOTS 8u

typedef struct DinvUsernetReassembly DinvUsernetReassembly;

/* NULL without memory. */
DinvUsernetReassembly *dinv_usernet_reassembly_new(void);
void dinv_usernet_reassembly_free(DinvUsernetReassembly *reassembly);

/* A first fragment whose datagram is wanted. */
void dinv_usernet_reassembly_begin(DinvUsernetReassembly *reassembly,
                                   const DinvUsernetPacket *packet);
/* A later fragment; false if its datagram is not under way here. With the last one *datagram is the
 * whole IPv4 body, borrowed until the next call, and *len its length; otherwise *len is 0. */
bool dinv_usernet_reassembly_continue(DinvUsernetReassembly *reassembly,
                                      const DinvUsernetPacket *packet, const uint8_t **datagram,
                                      size_t *len);

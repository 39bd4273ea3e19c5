/* SPDX-License-Identifier: MIT */
/*
 * reassembly: what the guest sent in fragments (RFC 791) as whole packets. libslirp never sees a
 * fragment: that of 4.7 writes to wrong places when one comes whose datagram has no beginning. A
 * fragment has to follow the one before it, as every sender and every bridge sends them; one that
 * does not ends its packet. Eight packets can be under way at a time; the oldest makes room.
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

/* Takes a fragment. With the last of a packet it returns the whole as one frame, without options in
 * its IPv4 header, borrowed until the next call; NULL otherwise. */
const uint8_t *dinv_usernet_reassembly_add(DinvUsernetReassembly *reassembly,
                                           const DinvUsernetPacket *packet, size_t *len);

/* SPDX-License-Identifier: MIT */
/*
 * flows: the TCP connections that libslirp has with the guest, found by what a frame says of
 * itself and by the descriptor of their socket outside. From the frames that pass in both
 * directions a flow knows what libslirp does not tell: whether the guest has ended it in order.
 *
 * The socket of a flow is one whose close() resets the connection (SO_LINGER of no time), until
 * the client has been given all that the guest sent and its end; after a RST of the guest again.
 * So a client learns of a port where nothing listens, of a reset, and of this process' own end as
 * what they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usernet/process/packet.h"

typedef struct DinvUsernetForward DinvUsernetForward;

/* Addresses as in struct in_addr, ports in host order. */
typedef struct {
    uint32_t guest;
    uint32_t foreign; /* of the other end, as the guest sees it */
    uint16_t guest_port;
    uint16_t foreign_port;
} DinvUsernetFlowKey;

typedef struct DinvUsernetFlow {
    DinvUsernetFlowKey key;
    int fd;                      /* owned by libslirp */
    DinvUsernetForward *forward; /* NULL: from inside, or its forward is gone */
    bool guest_finished;         /* libslirp has the guest's FIN */
    bool outside_finished;       /* libslirp has sent one to the guest */
    bool given;                  /* the client has all that the guest sent, and its end */
    bool end_held;          /* the guest's FIN has come; ends.c decides when libslirp gets it */
    bool end_told;          /* and the guest believes that it did */
    bool ending;            /* in the list of those */
    uint32_t end_sequence;  /* of a FIN that is held */
    uint32_t to_guest_next; /* sequence number behind the last byte sent to the guest */
    uint32_t from_guest_next;
    uint32_t acknowledged; /* to the guest, in the last frame that went to it */
    uint16_t window;       /* likewise */
    bool to_guest_known, from_guest_known;
    uint32_t guest_acknowledged; /* by the guest, likewise */
    uint16_t guest_window;       /* likewise */
    int64_t last_ns;             /* when the guest was last heard */
    struct DinvUsernetFlow *next_in_bucket;
    struct DinvUsernetFlow *next_ending, *previous_ending;
} DinvUsernetFlow;

typedef struct DinvUsernetFlows DinvUsernetFlows;

DinvUsernetFlows *dinv_usernet_flows_new(void);
void dinv_usernet_flows_free(DinvUsernetFlows *flows);
size_t dinv_usernet_flows_count(const DinvUsernetFlows *flows);

/* NULL if there is no memory, or a flow has this key or descriptor already. The descriptor is
 * borrowed, and made one whose close() resets. */
DinvUsernetFlow *dinv_usernet_flows_add(DinvUsernetFlows *flows, const DinvUsernetFlowKey *key,
                                        int fd, DinvUsernetForward *forward, int64_t now_ns);
DinvUsernetFlow *dinv_usernet_flows_find(DinvUsernetFlows *flows, const DinvUsernetFlowKey *key);
/* Before its descriptor is closed; nothing happens if there is none. */
void dinv_usernet_flows_remove(DinvUsernetFlows *flows, int fd);
/* The forward is gone; its connections stay. */
void dinv_usernet_flows_orphan(DinvUsernetFlows *flows, const DinvUsernetForward *forward);
/* Calls `each` for every flow; it may not add or remove any. */
void dinv_usernet_flows_each(DinvUsernetFlows *flows, void (*each)(void *, DinvUsernetFlow *),
                             void *opaque);

DinvUsernetFlow *dinv_usernet_flows_of_fd(DinvUsernetFlows *flows, int fd);
/* The first of the flows that both sides have finished, and whose socket is still there. */
DinvUsernetFlow *dinv_usernet_flows_ending(DinvUsernetFlows *flows);

/* The guest's FIN has come, with this sequence number, and libslirp does not get it yet. */
void dinv_usernet_flows_hold_end(DinvUsernetFlows *flows, DinvUsernetFlow *flow, uint32_t sequence);
/* libslirp gets it now, and the client has all that came before it. */
void dinv_usernet_flow_end_guest(DinvUsernetFlow *flow);
/* Now close() ends the connection in order. */
void dinv_usernet_flow_given(DinvUsernetFlow *flow);

/* What a TCP frame says. The first is to be called before libslirp gets the frame. */
void dinv_usernet_flow_from_guest(DinvUsernetFlows *flows, DinvUsernetFlow *flow,
                                  const DinvUsernetPacket *packet, int64_t now_ns);
void dinv_usernet_flow_to_guest(DinvUsernetFlows *flows, DinvUsernetFlow *flow,
                                const DinvUsernetPacket *packet);

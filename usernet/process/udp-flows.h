/* SPDX-License-Identifier: MIT */
/*
 * udp-flows: which client outside is which address inside, for the datagrams of forwards. A flow is
 * found from both sides: by the client that sends, and by what the guest answers to. There are at
 * most DINV_USERNET_UDP_FLOWS_MAX; the one that was silent longest makes room.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usernet/process/forward.h"

#define DINV_USERNET_UDP_FLOWS_MAX 4096u

/* Where a datagram came from, and which of our addresses it was sent to: the answer leaves from
 * that one. IPv4 addresses are the first four bytes. */
typedef struct {
    bool ipv6;
    uint16_t port; /* of the client; host order */
    uint8_t address[16];
    uint32_t scope; /* of a link-local address */
    uint8_t local[16];
    uint32_t local_scope;
} DinvUsernetUdpClient;

/* As the guest sees it; addresses in network order, ports in host order. */
typedef struct {
    uint32_t foreign;
    uint16_t foreign_port;
    uint16_t guest_port;
} DinvUsernetUdpKey;

typedef struct DinvUsernetUdpFlow {
    DinvUsernetForward *forward;
    DinvUsernetUdpClient client;
    DinvUsernetUdpKey key;
    int64_t last_ns;
    struct DinvUsernetUdpFlow *older, *newer;
    struct DinvUsernetUdpFlow *next_by_client, *next_by_key;
} DinvUsernetUdpFlow;

typedef struct DinvUsernetUdpFlows DinvUsernetUdpFlows;

/* `gateway` lends its ports to clients that have no address in the guest's network, which is
 * `network` and `mask`. NULL without memory. */
DinvUsernetUdpFlows *dinv_usernet_udp_flows_new(struct in_addr network, struct in_addr mask,
                                                struct in_addr gateway);
void dinv_usernet_udp_flows_free(DinvUsernetUdpFlows *flows);
size_t dinv_usernet_udp_flows_count(const DinvUsernetUdpFlows *flows);

/* The flow of a client, made if need be; NULL if that is not possible. */
DinvUsernetUdpFlow *dinv_usernet_udp_flows_of_client(DinvUsernetUdpFlows *flows,
                                                     DinvUsernetForward *forward,
                                                     const DinvUsernetUdpClient *client,
                                                     int64_t now_ns);
/* The flow that an answer of the guest belongs to; NULL if there is none. */
DinvUsernetUdpFlow *dinv_usernet_udp_flows_of_key(DinvUsernetUdpFlows *flows,
                                                  const DinvUsernetUdpKey *key, int64_t now_ns);
/* Forgets flows that were silent for five minutes. */
void dinv_usernet_udp_flows_expire(DinvUsernetUdpFlows *flows, int64_t now_ns);
/* The forward is gone, and its flows with it. */
void dinv_usernet_udp_flows_drop(DinvUsernetUdpFlows *flows, const DinvUsernetForward *forward);

/* SPDX-License-Identifier: MIT */
/*
 * packet: Ethernet frames with IPv4 in them, taken apart and made (RFC 791, 768, 793, 826). Every
 * length in a frame is the guest's word and is checked against the frame's own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DINV_USERNET_ETHERNET_SIZE 14u
#define DINV_USERNET_IPV4_SIZE     20u
#define DINV_USERNET_UDP_SIZE      8u
#define DINV_USERNET_TCP_SIZE      20u
#define DINV_USERNET_ARP_SIZE      42u /* whole frame */

enum {
    DINV_USERNET_PROTOCOL_ICMP = 1,
    DINV_USERNET_PROTOCOL_TCP = 6,
    DINV_USERNET_PROTOCOL_UDP = 17,
    DINV_USERNET_TCP_FIN = 0x01,
    DINV_USERNET_TCP_SYN = 0x02,
    DINV_USERNET_TCP_RST = 0x04,
    DINV_USERNET_TCP_ACK = 0x10,
};

/* Addresses are as in struct in_addr (network order), all other numbers in host order. */
typedef struct {
    const uint8_t *source_mac; /* 6 bytes in the frame */
    uint32_t source, destination;
    uint8_t protocol;
    uint16_t id;
    size_t fragment_offset; /* bytes */
    bool more_fragments;
    const uint8_t *body; /* behind the IPv4 header */
    size_t body_len;
    /* The first fragment of TCP and UDP alone; 0 otherwise. */
    uint16_t source_port, destination_port;
    /* TCP */
    uint32_t sequence, acknowledged;
    uint8_t flags;
    uint16_t window;
    size_t data_len;
} DinvUsernetPacket;

/* The frame's packet, which points into it; false for all that is not a sound IPv4 packet. A TCP or
 * UDP header that is cut off leaves the ports 0. */
bool dinv_usernet_packet_parse(const uint8_t *frame, size_t len, DinvUsernetPacket *packet);

/* The Internet checksum of RFC 1071 over `bytes`, with `sum` to begin from; in host order. */
uint16_t dinv_usernet_checksum(const uint8_t *bytes, size_t len, uint32_t sum);
/* What the pseudo header of TCP and UDP adds, to be given as `sum`. */
uint32_t dinv_usernet_pseudo_sum(uint32_t source, uint32_t destination, uint8_t protocol,
                                 size_t len);

void dinv_usernet_put_u16(uint8_t out[static 2], unsigned value);
void dinv_usernet_put_u32(uint8_t out[static 4], uint32_t value);
uint16_t dinv_usernet_get_u16(const uint8_t in[static 2]);
uint32_t dinv_usernet_get_u32(const uint8_t in[static 4]);

/* Ethernet and IPv4 headers for `body_len` bytes, of one whole packet or of a fragment of it
 * (offset in bytes, a multiple of 8). */
typedef struct {
    const uint8_t *source_mac;
    const uint8_t *destination_mac;
    uint32_t source, destination;
    uint8_t protocol;
    uint16_t id;
    size_t fragment_offset;
    bool more_fragments;
} DinvUsernetHeader;
void dinv_usernet_header_write(
    uint8_t out[static DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE],
    const DinvUsernetHeader *header, size_t body_len);

#define DINV_USERNET_PROBE_SIZE                                                                    \
    (DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE + DINV_USERNET_TCP_SIZE)
/* A segment of TCP without data (RFC 793). */
typedef struct {
    uint16_t source_port, destination_port;
    uint32_t sequence, acknowledged;
    uint16_t window;
    uint8_t flags;
} DinvUsernetSegment;
void dinv_usernet_segment_write(uint8_t out[static DINV_USERNET_PROBE_SIZE],
                                const DinvUsernetHeader *header, const DinvUsernetSegment *segment);

/* Lets a SYN ask for segments of `most` bytes at most; `tcp` is its header, of `len` bytes with its
 * options. */
void dinv_usernet_segment_limit_mss(uint8_t *tcp, size_t len, uint16_t most);
/* Takes the FIN out of a segment; `tcp` is its header, of at least DINV_USERNET_TCP_SIZE bytes. */
void dinv_usernet_segment_without_fin(uint8_t *tcp);

/* Who has `target`, asks `source`. */
void dinv_usernet_arp_request_write(uint8_t out[static DINV_USERNET_ARP_SIZE],
                                    const uint8_t source_mac[static 6], uint32_t source,
                                    uint32_t target);

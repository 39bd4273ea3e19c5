/* SPDX-License-Identifier: MIT */
/* IPv4 in Ethernet: parsing with every length checked, and the headers of what is sent. */
#include "usernet/process/packet.h"

#include <string.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_ARP  0x0806u
#define TIME_TO_LIVE   64

/* Options of TCP (RFC 793). */
#define OPTION_END      0
#define OPTION_NOTHING  1
#define OPTION_MSS      2
#define OPTION_MSS_SIZE 4

void dinv_usernet_put_u16(uint8_t out[static 2], unsigned value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

void dinv_usernet_put_u32(uint8_t out[static 4], uint32_t value) {
    dinv_usernet_put_u16(out, value >> 16);
    dinv_usernet_put_u16(out + 2, value & 0xffff);
}

uint16_t dinv_usernet_get_u16(const uint8_t in[static 2]) {
    return (uint16_t)(in[0] << 8 | in[1]);
}

uint32_t dinv_usernet_get_u32(const uint8_t in[static 4]) {
    return (uint32_t)dinv_usernet_get_u16(in) << 16 | dinv_usernet_get_u16(in + 2);
}

static uint32_t get_address(const uint8_t *in) {
    uint32_t address;
    memcpy(&address, in, sizeof(address));
    return address;
}

static void parse_tcp(DinvUsernetPacket *packet) {
    const uint8_t *tcp = packet->body;
    if (packet->body_len < DINV_USERNET_TCP_SIZE) {
        return;
    }
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    if (header < DINV_USERNET_TCP_SIZE || header > packet->body_len) {
        return;
    }
    packet->source_port = dinv_usernet_get_u16(tcp);
    packet->destination_port = dinv_usernet_get_u16(tcp + 2);
    packet->sequence = dinv_usernet_get_u32(tcp + 4);
    packet->acknowledged = dinv_usernet_get_u32(tcp + 8);
    packet->flags = tcp[13];
    packet->window = dinv_usernet_get_u16(tcp + 14);
    packet->data_len = packet->body_len - header;
}

static void parse_udp(DinvUsernetPacket *packet) {
    if (packet->body_len < DINV_USERNET_UDP_SIZE) {
        return;
    }
    packet->source_port = dinv_usernet_get_u16(packet->body);
    packet->destination_port = dinv_usernet_get_u16(packet->body + 2);
}

bool dinv_usernet_packet_parse(const uint8_t *frame, size_t len, DinvUsernetPacket *packet) {
    if (len < DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE ||
        dinv_usernet_get_u16(frame + 12) != ETHERTYPE_IPV4) {
        return false;
    }
    const uint8_t *ip = frame + DINV_USERNET_ETHERNET_SIZE;
    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    size_t total = dinv_usernet_get_u16(ip + 2);
    if (ip[0] >> 4 != 4 || header < DINV_USERNET_IPV4_SIZE || total < header ||
        total > len - DINV_USERNET_ETHERNET_SIZE) {
        return false;
    }
    unsigned fragment = dinv_usernet_get_u16(ip + 6);
    *packet = (DinvUsernetPacket){
        .source_mac = frame + 6,
        .source = get_address(ip + 12),
        .destination = get_address(ip + 16),
        .protocol = ip[9],
        .id = dinv_usernet_get_u16(ip + 4),
        .fragment_offset = (size_t)(fragment & 0x1fff) * 8,
        .more_fragments = (fragment & 0x2000) != 0,
        .body = ip + header,
        .body_len = total - header,
    };
    if (packet->fragment_offset == 0 && packet->protocol == DINV_USERNET_PROTOCOL_TCP) {
        parse_tcp(packet);
    } else if (packet->fragment_offset == 0 && packet->protocol == DINV_USERNET_PROTOCOL_UDP) {
        parse_udp(packet);
    }
    return true;
}

uint16_t dinv_usernet_checksum(const uint8_t *bytes, size_t len, uint32_t sum) {
    uint64_t total = sum;
    for (; len >= 2; bytes += 2, len -= 2) {
        total += dinv_usernet_get_u16(bytes);
    }
    if (len == 1) {
        total += (uint32_t)bytes[0] << 8;
    }
    while (total >> 16 != 0) {
        total = (total & 0xffff) + (total >> 16);
    }
    return (uint16_t)~total;
}

uint32_t dinv_usernet_pseudo_sum(uint32_t source, uint32_t destination, uint8_t protocol,
                                 size_t len) {
    uint8_t header[12];
    memcpy(header, &source, 4);
    memcpy(header + 4, &destination, 4);
    header[8] = 0;
    header[9] = protocol;
    dinv_usernet_put_u16(header + 10, (unsigned)len);
    return (uint16_t)~dinv_usernet_checksum(header, sizeof(header), 0);
}

void dinv_usernet_header_write(
    uint8_t out[static DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE],
    const DinvUsernetHeader *header, size_t body_len) {
    memcpy(out, header->destination_mac, 6);
    memcpy(out + 6, header->source_mac, 6);
    dinv_usernet_put_u16(out + 12, ETHERTYPE_IPV4);
    uint8_t *ip = out + DINV_USERNET_ETHERNET_SIZE;
    memset(ip, 0, DINV_USERNET_IPV4_SIZE);
    ip[0] = 0x45;
    dinv_usernet_put_u16(ip + 2, (unsigned)(DINV_USERNET_IPV4_SIZE + body_len));
    dinv_usernet_put_u16(ip + 4, header->id);
    dinv_usernet_put_u16(ip + 6, (unsigned)(header->fragment_offset / 8) |
                                     (header->more_fragments ? 0x2000u : 0));
    ip[8] = TIME_TO_LIVE;
    ip[9] = header->protocol;
    memcpy(ip + 12, &header->source, 4);
    memcpy(ip + 16, &header->destination, 4);
    dinv_usernet_put_u16(ip + 10, dinv_usernet_checksum(ip, DINV_USERNET_IPV4_SIZE, 0));
}

void dinv_usernet_segment_write(uint8_t out[static DINV_USERNET_PROBE_SIZE],
                                const DinvUsernetHeader *header,
                                const DinvUsernetSegment *segment) {
    uint8_t *tcp = out + DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE;
    dinv_usernet_header_write(out, header, DINV_USERNET_TCP_SIZE);
    memset(tcp, 0, DINV_USERNET_TCP_SIZE);
    dinv_usernet_put_u16(tcp, segment->source_port);
    dinv_usernet_put_u16(tcp + 2, segment->destination_port);
    dinv_usernet_put_u32(tcp + 4, segment->sequence);
    dinv_usernet_put_u32(tcp + 8, segment->acknowledged);
    tcp[12] = DINV_USERNET_TCP_SIZE / 4 << 4;
    tcp[13] = segment->flags;
    dinv_usernet_put_u16(tcp + 14, segment->window);
    uint32_t sum = dinv_usernet_pseudo_sum(header->source, header->destination,
                                           DINV_USERNET_PROTOCOL_TCP, DINV_USERNET_TCP_SIZE);
    dinv_usernet_put_u16(tcp + 16, dinv_usernet_checksum(tcp, DINV_USERNET_TCP_SIZE, sum));
}

/* Two bytes of a header are others now. The checksum changes by what its sum of 16-bit words does
 * (RFC 1624): one that was wrong stays so. A word at an odd place counts with its bytes swapped. */
static void change_checksum(uint8_t *tcp, size_t at, uint16_t before, uint16_t after) {
    if (at % 2 != 0) {
        before = (uint16_t)(before << 8 | before >> 8);
        after = (uint16_t)(after << 8 | after >> 8);
    }
    uint32_t sum = (uint16_t)~dinv_usernet_get_u16(tcp + 16);
    sum += (uint16_t)~before + (uint32_t)after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    dinv_usernet_put_u16(tcp + 16, (uint16_t)~sum);
}

void dinv_usernet_segment_without_fin(uint8_t *tcp) {
    uint16_t before = dinv_usernet_get_u16(tcp + 12);
    tcp[13] &= (uint8_t)~DINV_USERNET_TCP_FIN;
    change_checksum(tcp, 12, before, dinv_usernet_get_u16(tcp + 12));
}

void dinv_usernet_segment_limit_mss(uint8_t *tcp, size_t len, uint16_t most) {
    size_t at = DINV_USERNET_TCP_SIZE;
    while (at + 1 < len && tcp[at] != OPTION_END) {
        size_t size = tcp[at] == OPTION_NOTHING ? 1 : tcp[at + 1];
        if (size == 0 || size > len - at) {
            return;
        }
        if (tcp[at] == OPTION_MSS && size == OPTION_MSS_SIZE) {
            uint16_t before = dinv_usernet_get_u16(tcp + at + 2);
            uint16_t after = before < most ? before : most;
            dinv_usernet_put_u16(tcp + at + 2, after);
            change_checksum(tcp, at + 2, before, after);
        }
        at += size;
    }
}

void dinv_usernet_arp_request_write(uint8_t out[static DINV_USERNET_ARP_SIZE],
                                    const uint8_t source_mac[static 6], uint32_t source,
                                    uint32_t target) {
    static const uint8_t fixed[8] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, request */
    memset(out, 0xff, 6);
    memcpy(out + 6, source_mac, 6);
    dinv_usernet_put_u16(out + 12, ETHERTYPE_ARP);
    memcpy(out + 14, fixed, sizeof(fixed));
    memcpy(out + 22, source_mac, 6);
    memcpy(out + 28, &source, 4);
    memset(out + 32, 0, 6);
    memcpy(out + 38, &target, 4);
}

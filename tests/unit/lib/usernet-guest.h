/* SPDX-License-Identifier: MIT */
/*
 * A dinv-usernet in a child process, and a guest that speaks Ethernet, ARP, UDP and just enough TCP
 * for one connection at a time: what a test expects comes in this order or the test fails.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usernet/process/frames.h"
#include "usernet/process/packet.h"
#include "usernet/process/serve.h"
#include "usernet/protocol.h"

#define USERNET_DEADLINE_MS 10000

typedef struct {
    pid_t pid;
    int frames;
    int control;
    unsigned mtu;
    uint32_t next_id;
    char features[DINV_USERNET_FEATURES_MAX + 1];
    uint8_t frame[DINV_USERNET_FRAME_MAX + 1];
} UsernetGuest;

/* One connection, as the guest has it. */
typedef struct {
    uint32_t foreign; /* network order */
    uint16_t foreign_port;
    uint16_t port;
    uint32_t sequence; /* next to be sent */
    uint32_t expected; /* next to be received */
} UsernetTcp;

static const uint8_t usernet_guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static inline void usernet_assert_bytes(const void *bytes, gsize len, const void *expected,
                                        gsize expected_len) {
    g_assert_cmpuint(len, ==, expected_len);
    g_assert_cmpint(memcmp(bytes, expected, len), ==, 0);
}

static inline uint32_t usernet_address(const char *text) {
    return inet_addr(text);
}

static inline void usernet_start_limited(UsernetGuest *guest, unsigned mtu, int64_t probe_ns,
                                         rlim_t descriptors) {
    int frames[2];
    int control[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, frames), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), ==, 0);
    *guest = (UsernetGuest){.frames = frames[0], .control = control[0], .mtu = mtu};
    guest->pid = fork();
    g_assert_cmpint(guest->pid, >=, 0);
    if (guest->pid == 0) {
        (void)close(frames[0]);
        (void)close(control[0]);
        if (descriptors > 0) {
            struct rlimit limit = {descriptors, descriptors};
            (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        DinvUsernetArguments arguments = {frames[1],
                                          control[1],
                                          {.network.s_addr = usernet_address("10.0.2.0"),
                                           .mask.s_addr = usernet_address("255.255.255.0"),
                                           .mtu = mtu,
                                           .probe_ns = probe_ns}};
        _exit(dinv_usernet_serve(&arguments));
    }
    (void)close(frames[1]);
    (void)close(control[1]);
}

static inline gssize usernet_receive(int fd, void *buffer, gsize size, int timeout) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        ready = poll(&wait, 1, timeout);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? recv(fd, buffer, size, 0) : -1;
}

static inline void usernet_reply(UsernetGuest *guest, DinvUsernetReply *reply) {
    char text[DINV_USERNET_MESSAGE_MAX + 1];
    gssize len = usernet_receive(guest->control, text, sizeof(text), USERNET_DEADLINE_MS);
    g_assert_cmpint(len, >, 0);
    g_assert_cmpint(dinv_usernet_reply_decode(text, (gsize)len, reply), ==, 0);
}

static inline void usernet_start(UsernetGuest *guest, unsigned mtu) {
    usernet_start_limited(guest, mtu, DINV_USERNET_PROBE_NS, 0);
    DinvUsernetReply reply;
    usernet_reply(guest, &reply);
    g_assert_cmpint(reply.type, ==, DINV_USERNET_READY);
    memcpy(guest->features, reply.features, sizeof(guest->features));
}

/* The answer to a request of the words behind the ID. */
static inline void usernet_ask(UsernetGuest *guest, DinvUsernetReply *reply, const char *words) {
    g_autofree char *text = g_strdup_printf("%u %s", ++guest->next_id, words);
    g_assert_cmpint(send(guest->control, text, strlen(text), 0), ==, (gssize)strlen(text));
    usernet_reply(guest, reply);
    g_assert_cmpuint(reply->id, ==, guest->next_id);
}

static inline void usernet_do(UsernetGuest *guest, const char *words) {
    DinvUsernetReply reply;
    usernet_ask(guest, &reply, words);
    g_assert_cmpstr(reply.type == DINV_USERNET_ERROR ? reply.text : "", ==, "");
    g_assert_cmpint(reply.type, ==, DINV_USERNET_OK);
}

/* The process ends by itself, with status 0. */
static inline void usernet_stop(UsernetGuest *guest) {
    usernet_do(guest, "stop");
    int status;
    g_assert_cmpint(waitpid(guest->pid, &status, 0), ==, guest->pid);
    g_assert_cmpint(status, ==, 0);
    (void)close(guest->frames);
    (void)close(guest->control);
}

static inline void usernet_send_frame(UsernetGuest *guest, const void *frame, gsize len) {
    g_assert_cmpint(send(guest->frames, frame, len, 0), ==, (gssize)len);
}

static inline void usernet_answer_arp(UsernetGuest *guest) {
    uint8_t reply[DINV_USERNET_ARP_SIZE];
    memcpy(reply, guest->frame, sizeof(reply));
    memcpy(reply, guest->frame + 6, 6);
    memcpy(reply + 6, usernet_guest_mac, 6);
    reply[21] = 2;
    memcpy(reply + 22, usernet_guest_mac, 6);
    memcpy(reply + 28, guest->frame + 38, 4);
    memcpy(reply + 32, guest->frame + 22, 10);
    usernet_send_frame(guest, reply, sizeof(reply));
}

/* The next IPv4 packet within `timeout` ms, which points into the guest's buffer; ARP is
 * answered on the way, if the guest itself is asked for. False if there is none. */
static inline gboolean usernet_next_within(UsernetGuest *guest, DinvUsernetPacket *packet,
                                           int timeout) {
    for (;;) {
        gssize len = usernet_receive(guest->frames, guest->frame, sizeof(guest->frame), timeout);
        if (len < 0) {
            return FALSE;
        }
        if (dinv_usernet_packet_parse(guest->frame, (gsize)len, packet)) {
            return TRUE;
        }
        if (len >= (gssize)DINV_USERNET_ARP_SIZE && guest->frame[13] == 6 &&
            guest->frame[21] == 1 && guest->frame[41] == 15) {
            usernet_answer_arp(guest);
        }
    }
}

static inline void usernet_next(UsernetGuest *guest, DinvUsernetPacket *packet) {
    g_assert_true(usernet_next_within(guest, packet, USERNET_DEADLINE_MS));
}

/* Any IPv4 body from the guest, as one frame. */
static inline void usernet_send_body(UsernetGuest *guest, const DinvUsernetHeader *header,
                                     const void *body, gsize len) {
    gsize headers = DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE;
    g_autofree uint8_t *frame = g_malloc(headers + len);
    dinv_usernet_header_write(frame, header, len);
    memcpy(frame + headers, body, len);
    usernet_send_frame(guest, frame, headers + len);
}

static inline DinvUsernetHeader usernet_header(uint32_t foreign, uint8_t protocol) {
    static const uint8_t gateway_mac[6] = {0x52, 0x55, 10, 0, 2, 2};
    return (DinvUsernetHeader){.source_mac = usernet_guest_mac,
                               .destination_mac = gateway_mac,
                               .source = usernet_address("10.0.2.15"),
                               .destination = foreign,
                               .protocol = protocol};
}

/* A SYN says how much a segment may hold, as that of every guest. */
static inline void usernet_tcp_send(UsernetGuest *guest, UsernetTcp *tcp, uint8_t flags,
                                    const void *data, gsize len) {
    DinvUsernetHeader header = usernet_header(tcp->foreign, DINV_USERNET_PROTOCOL_TCP);
    gsize options = (flags & DINV_USERNET_TCP_SYN) != 0 ? 4 : 0;
    gsize size = DINV_USERNET_TCP_SIZE + options + len;
    g_autofree uint8_t *body = g_malloc0(size);
    dinv_usernet_put_u16(body, tcp->port);
    dinv_usernet_put_u16(body + 2, tcp->foreign_port);
    dinv_usernet_put_u32(body + 4, tcp->sequence);
    dinv_usernet_put_u32(body + 8, tcp->expected);
    body[12] = (uint8_t)((DINV_USERNET_TCP_SIZE + options) / 4 << 4);
    body[13] = flags;
    if (options > 0) {
        body[DINV_USERNET_TCP_SIZE] = 2;
        body[DINV_USERNET_TCP_SIZE + 1] = 4;
        dinv_usernet_put_u16(body + DINV_USERNET_TCP_SIZE + 2, guest->mtu - 40);
    }
    dinv_usernet_put_u16(body + 14, 65535);
    if (len > 0) {
        memcpy(body + DINV_USERNET_TCP_SIZE + options, data, len);
    }
    dinv_usernet_put_u16(
        body + 16, dinv_usernet_checksum(body, size,
                                         dinv_usernet_pseudo_sum(header.source, header.destination,
                                                                 header.protocol, size)));
    usernet_send_body(guest, &header, body, size);
    tcp->sequence += (uint32_t)len + ((flags & DINV_USERNET_TCP_SYN) != 0 ? 1 : 0) +
                     ((flags & DINV_USERNET_TCP_FIN) != 0 ? 1 : 0);
}

/* The next segment that has one of `flags` or data; those before it are passed over. */
static inline void usernet_tcp_next(UsernetGuest *guest, DinvUsernetPacket *packet, uint8_t flags) {
    do {
        usernet_next(guest, packet);
    } while (packet->protocol != DINV_USERNET_PROTOCOL_TCP ||
             ((packet->flags & flags) == 0 && packet->data_len == 0));
}

/* Takes a SYN, which has to come for this port. */
static inline void usernet_tcp_take_syn(UsernetGuest *guest, UsernetTcp *tcp, uint16_t port) {
    DinvUsernetPacket packet;
    usernet_tcp_next(guest, &packet, DINV_USERNET_TCP_SYN);
    g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_SYN, !=, 0);
    g_assert_cmpuint(packet.destination_port, ==, port);
    g_assert_cmpuint(packet.destination, ==, usernet_address("10.0.2.15"));
    *tcp = (UsernetTcp){packet.source, packet.source_port, port, 1000000, packet.sequence + 1};
}

static inline void usernet_tcp_accept(UsernetGuest *guest, UsernetTcp *tcp, uint16_t port) {
    usernet_tcp_take_syn(guest, tcp, port);
    usernet_tcp_send(guest, tcp, DINV_USERNET_TCP_SYN | DINV_USERNET_TCP_ACK, NULL, 0);
}

/* A connection from inside to a port of the outer container's loopback; sends its SYN alone. */
static inline void usernet_tcp_begin(UsernetGuest *guest, UsernetTcp *tcp, uint16_t outer_port) {
    *tcp = (UsernetTcp){usernet_address("10.0.2.2"), outer_port, 40000, 1000000, 0};
    usernet_tcp_send(guest, tcp, DINV_USERNET_TCP_SYN, NULL, 0);
}

static inline void usernet_tcp_connect(UsernetGuest *guest, UsernetTcp *tcp, uint16_t outer_port) {
    DinvUsernetPacket packet;
    usernet_tcp_begin(guest, tcp, outer_port);
    usernet_tcp_next(guest, &packet, DINV_USERNET_TCP_SYN | DINV_USERNET_TCP_RST);
    g_assert_cmpuint(packet.flags, ==, DINV_USERNET_TCP_SYN | DINV_USERNET_TCP_ACK);
    tcp->expected = packet.sequence + 1;
    usernet_tcp_send(guest, tcp, DINV_USERNET_TCP_ACK, NULL, 0);
}

/* Data of the client, acknowledged; exactly this. */
static inline void usernet_tcp_expect(UsernetGuest *guest, UsernetTcp *tcp, const char *text) {
    DinvUsernetPacket packet;
    usernet_tcp_next(guest, &packet, 0);
    g_assert_cmpuint(packet.sequence, ==, tcp->expected);
    usernet_assert_bytes(packet.body + packet.body_len - packet.data_len, packet.data_len, text,
                         strlen(text));
    tcp->expected += (uint32_t)packet.data_len;
    usernet_tcp_send(guest, tcp, DINV_USERNET_TCP_ACK, NULL, 0);
}

static inline void usernet_tcp_expect_fin(UsernetGuest *guest, UsernetTcp *tcp) {
    DinvUsernetPacket packet;
    usernet_tcp_next(guest, &packet, DINV_USERNET_TCP_FIN);
    g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_FIN, !=, 0);
    g_assert_cmpuint(packet.data_len, ==, 0);
    tcp->expected = packet.sequence + 1;
    usernet_tcp_send(guest, tcp, DINV_USERNET_TCP_ACK, NULL, 0);
}

static inline void usernet_udp_send(UsernetGuest *guest, uint32_t foreign, uint16_t foreign_port,
                                    uint16_t port, const void *data, gsize len) {
    DinvUsernetHeader header = usernet_header(foreign, DINV_USERNET_PROTOCOL_UDP);
    gsize size = DINV_USERNET_UDP_SIZE + len;
    gsize most = ((gsize)guest->mtu - DINV_USERNET_IPV4_SIZE) / 8 * 8;
    g_autofree uint8_t *body = g_malloc0(size);
    dinv_usernet_put_u16(body, port);
    dinv_usernet_put_u16(body + 2, foreign_port);
    dinv_usernet_put_u16(body + 4, (unsigned)size);
    memcpy(body + DINV_USERNET_UDP_SIZE, data, len);
    header.id = (uint16_t)g_random_int();
    for (gsize at = 0; at < size; at += most) {
        header.fragment_offset = at;
        header.more_fragments = size - at > most;
        usernet_send_body(guest, &header, body + at, MIN(most, size - at));
    }
}

/* A socket connected to a port of this host's loopback, with a deadline. */
static inline int usernet_client(int type, gboolean ipv6, uint16_t port) {
    struct sockaddr_in ipv4_address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 ipv6_address = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
    struct timeval deadline = {USERNET_DEADLINE_MS / 1000, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
    int result = ipv6 ? connect(fd, (struct sockaddr *)&ipv6_address, sizeof(ipv6_address))
                      : connect(fd, (struct sockaddr *)&ipv4_address, sizeof(ipv4_address));
    g_assert_cmpint(result, ==, 0);
    return fd;
}

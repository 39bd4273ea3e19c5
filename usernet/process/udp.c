/* SPDX-License-Identifier: MIT */
/* Datagrams between the sockets of forwards and frames of the guest. */
#include "usernet/process/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "usernet/process/udp-flows.h"

#define DATAGRAMS_A_TURN 64
#define PAYLOAD_MAX      65507u
#define HEADERS_SIZE     (DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE)
#define ARP_INTERVAL_NS  ((int64_t)1000000000)

struct DinvUsernetUdp {
    DinvUsernetLoop *loop;
    DinvUsernetFrames *frames;
    DinvUsernetUdpConfig config;
    DinvUsernetUdpFlows *flows;
    DinvUsernetForward *forwards; /* by next_udp */
    uint8_t own_mac[6];
    uint8_t guest_mac[6];
    bool is_mac_known;
    bool is_mac_wanted; /* a datagram waits for it; the sockets are not looked at */
    int64_t asked_ns;
    uint16_t next_id;
    uint8_t datagram[DINV_USERNET_UDP_SIZE + PAYLOAD_MAX];
    uint8_t frame[DINV_USERNET_FRAME_MAX];
};

static void udp_ready(void *opaque, uint32_t events);

DinvUsernetUdp *dinv_usernet_udp_new(DinvUsernetLoop *loop, DinvUsernetFrames *frames,
                                     const DinvUsernetUdpConfig *config) {
    DinvUsernetUdp *udp = calloc(1, sizeof(*udp));
    if (udp == NULL) {
        return NULL;
    }
    udp->loop = loop;
    udp->frames = frames;
    udp->config = *config;
    udp->flows = dinv_usernet_udp_flows_new(config->network, config->mask, config->gateway);
    /* What libslirp answers to ARP for the gateway. */
    udp->own_mac[0] = 0x52;
    udp->own_mac[1] = 0x55;
    memcpy(udp->own_mac + 2, &config->gateway, 4);
    if (udp->flows == NULL) {
        dinv_usernet_udp_free(udp);
        return NULL;
    }
    return udp;
}

void dinv_usernet_udp_free(DinvUsernetUdp *udp) {
    if (udp != NULL) {
        dinv_usernet_udp_flows_free(udp->flows);
        free(udp);
    }
}

static int watch(DinvUsernetUdp *udp, DinvUsernetForward *forward) {
    return dinv_usernet_loop_watch(udp->loop, forward->fd, DINV_USERNET_OUTSIDE,
                                   udp->is_mac_wanted ? 0 : EPOLLIN, udp_ready, forward);
}

static void watch_all(DinvUsernetUdp *udp) {
    for (DinvUsernetForward *forward = udp->forwards; forward != NULL;
         forward = forward->next_udp) {
        (void)watch(udp, forward);
    }
}

int dinv_usernet_udp_add(DinvUsernetUdp *udp, DinvUsernetForward *forward) {
    forward->udp = udp;
    int result = watch(udp, forward);
    if (result == 0) {
        forward->next_udp = udp->forwards;
        udp->forwards = forward;
    }
    return result;
}

void dinv_usernet_udp_remove(DinvUsernetUdp *udp, DinvUsernetForward *forward) {
    DinvUsernetForward **at = &udp->forwards;
    while (*at != NULL && *at != forward) {
        at = &(*at)->next_udp;
    }
    if (*at != NULL) {
        *at = forward->next_udp;
    }
    dinv_usernet_udp_flows_drop(udp->flows, forward);
}

void dinv_usernet_udp_learn(DinvUsernetUdp *udp, const uint8_t mac[static 6]) {
    if (udp->is_mac_known && memcmp(udp->guest_mac, mac, 6) == 0) {
        return;
    }
    memcpy(udp->guest_mac, mac, 6);
    udp->is_mac_known = true;
    if (udp->is_mac_wanted) {
        udp->is_mac_wanted = false;
        watch_all(udp);
    }
}

const uint8_t *dinv_usernet_udp_guest_mac(const DinvUsernetUdp *udp) {
    return udp->is_mac_known ? udp->guest_mac : NULL;
}

const uint8_t *dinv_usernet_udp_own_mac(const DinvUsernetUdp *udp) {
    return udp->own_mac;
}

static void ask_for_mac(DinvUsernetUdp *udp, int64_t now_ns) {
    uint8_t frame[DINV_USERNET_ARP_SIZE];
    dinv_usernet_arp_request_write(frame, udp->own_mac, udp->config.gateway.s_addr,
                                   udp->config.guest.s_addr);
    dinv_usernet_frames_send(udp->frames, frame, sizeof(frame));
    udp->asked_ns = now_ns;
}

int dinv_usernet_udp_tick(DinvUsernetUdp *udp, int64_t now_ns) {
    dinv_usernet_udp_flows_expire(udp->flows, now_ns);
    if (!udp->is_mac_wanted) {
        return -1;
    }
    if (now_ns - udp->asked_ns >= ARP_INTERVAL_NS && !dinv_usernet_frames_blocked(udp->frames)) {
        ask_for_mac(udp, now_ns);
    }
    return (int)(ARP_INTERVAL_NS / 1000000);
}

/* The datagram, header and all, as one frame or as many as it needs. */
static void send_to_guest(DinvUsernetUdp *udp, const DinvUsernetUdpFlow *flow, size_t payload) {
    size_t len = DINV_USERNET_UDP_SIZE + payload;
    uint8_t *datagram = udp->datagram;
    uint32_t guest = udp->config.guest.s_addr;
    dinv_usernet_put_u16(datagram, flow->key.foreign_port);
    dinv_usernet_put_u16(datagram + 2, flow->key.guest_port);
    dinv_usernet_put_u16(datagram + 4, (unsigned)len);
    dinv_usernet_put_u16(datagram + 6, 0);
    uint32_t sum =
        dinv_usernet_pseudo_sum(flow->key.foreign, guest, DINV_USERNET_PROTOCOL_UDP, len);
    uint16_t checksum = dinv_usernet_checksum(datagram, len, sum);
    dinv_usernet_put_u16(datagram + 6, checksum != 0 ? checksum : 0xffffu);
    DinvUsernetHeader header = {
        .source_mac = udp->own_mac,
        .destination_mac = udp->guest_mac,
        .source = flow->key.foreign,
        .destination = guest,
        .protocol = DINV_USERNET_PROTOCOL_UDP,
        .id = udp->next_id++,
    };
    size_t most = (udp->config.mtu - DINV_USERNET_IPV4_SIZE) / 8 * 8;
    bool is_whole = len <= udp->config.mtu - DINV_USERNET_IPV4_SIZE;
    for (size_t at = 0; at < len;) {
        size_t part = is_whole || len - at < most ? len - at : most;
        header.fragment_offset = at;
        header.more_fragments = at + part < len;
        dinv_usernet_header_write(udp->frame, &header, part);
        memcpy(udp->frame + HEADERS_SIZE, datagram + at, part);
        dinv_usernet_frames_send(udp->frames, udp->frame, HEADERS_SIZE + part);
        at += part;
    }
}

/* The address that the datagram was sent to; only "::" and "0.0.0.0" need it, all have it. */
static void read_local(struct msghdr *message, DinvUsernetUdpClient *client) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof(info));
            memcpy(client->local, &info.ipi_spec_dst, 4);
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof(info));
            memcpy(client->local, &info.ipi6_addr, 16);
            client->local_scope = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
        }
    }
}

static void read_client(const struct sockaddr_storage *from, DinvUsernetUdpClient *client) {
    client->ipv6 = from->ss_family == AF_INET6;
    if (client->ipv6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)from;
        memcpy(client->address, &ipv6->sin6_addr, 16);
        client->port = ntohs(ipv6->sin6_port);
        client->scope = ipv6->sin6_scope_id;
    } else {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)from;
        memcpy(client->address, &ipv4->sin_addr, 4);
        client->port = ntohs(ipv4->sin_port);
    }
}

/* False if there was none. */
static bool receive_one(DinvUsernetUdp *udp, DinvUsernetForward *forward, int64_t now_ns) {
    struct sockaddr_storage from = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
    struct iovec payload = {udp->datagram + DINV_USERNET_UDP_SIZE, PAYLOAD_MAX};
    struct msghdr message = {
        .msg_name = &from,
        .msg_namelen = sizeof(from),
        .msg_iov = &payload,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t len = recvmsg(forward->fd, &message, MSG_DONTWAIT);
    if (len < 0) {
        return errno == EINTR;
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        return true; /* IPv6 alone can carry more than an IPv4 packet */
    }
    DinvUsernetUdpClient client = {0};
    read_client(&from, &client);
    read_local(&message, &client);
    DinvUsernetUdpFlow *flow =
        dinv_usernet_udp_flows_of_client(udp->flows, forward, &client, now_ns);
    if (flow != NULL) {
        forward->to_guest += (uint64_t)len;
        send_to_guest(udp, flow, (size_t)len);
    }
    return true;
}

static void udp_ready(void *opaque, uint32_t events) {
    DinvUsernetForward *forward = opaque;
    DinvUsernetUdp *udp = forward->udp;
    int64_t now = dinv_usernet_now_ns();
    (void)events;
    if (!udp->is_mac_known) {
        if (!udp->is_mac_wanted) {
            udp->is_mac_wanted = true;
            watch_all(udp);
            ask_for_mac(udp, now);
        }
        return;
    }
    for (int i = 0; i < DATAGRAMS_A_TURN && !dinv_usernet_frames_blocked(udp->frames); i++) {
        if (!receive_one(udp, forward, now)) {
            return;
        }
    }
}

static socklen_t write_client(const DinvUsernetUdpClient *client, struct sockaddr_storage *to) {
    memset(to, 0, sizeof(*to));
    if (client->ipv6) {
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)to;
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons(client->port);
        ipv6->sin6_scope_id = client->scope;
        memcpy(&ipv6->sin6_addr, client->address, 16);
        return sizeof(*ipv6);
    }
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)to;
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(client->port);
    memcpy(&ipv4->sin_addr, client->address, 4);
    return sizeof(*ipv4);
}

static void write_local(const DinvUsernetUdpClient *client, struct msghdr *message) {
    struct cmsghdr *control = message->msg_control;
    size_t size = client->ipv6 ? sizeof(struct in6_pktinfo) : sizeof(struct in_pktinfo);
    memset(control, 0, CMSG_SPACE(size));
    control->cmsg_len = CMSG_LEN(size);
    control->cmsg_level = client->ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    control->cmsg_type = client->ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
    message->msg_controllen = CMSG_SPACE(size);
    if (client->ipv6) {
        struct in6_pktinfo info = {.ipi6_ifindex = client->local_scope};
        memcpy(&info.ipi6_addr, client->local, 16);
        memcpy(CMSG_DATA(control), &info, sizeof(info));
    } else {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, client->local, 4);
        memcpy(CMSG_DATA(control), &info, sizeof(info));
    }
}

/* One that the network outside does not take now is lost, as datagrams are. */
static void send_to_client(const DinvUsernetUdpFlow *flow, const uint8_t *payload, size_t len) {
    struct sockaddr_storage to;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct iovec part = {(void *)(uintptr_t)payload, len};
    struct msghdr message = {
        .msg_name = &to,
        .msg_namelen = write_client(&flow->client, &to),
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
    };
    write_local(&flow->client, &message);
    if (sendmsg(flow->forward->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        flow->forward->from_guest += len;
    }
}

static DinvUsernetUdpFlow *flow_of(DinvUsernetUdp *udp, uint32_t destination, uint16_t source_port,
                                   uint16_t destination_port) {
    DinvUsernetUdpKey key = {
        .foreign = destination, .foreign_port = destination_port, .guest_port = source_port};
    return dinv_usernet_udp_flows_of_key(udp->flows, &key, dinv_usernet_now_ns());
}

/* A whole IPv4 body: a header whose length it has to agree with. */
static void take_datagram(const DinvUsernetUdpFlow *flow, const uint8_t *body, size_t len) {
    size_t said = dinv_usernet_get_u16(body + 4);
    if (said >= DINV_USERNET_UDP_SIZE && said <= len) {
        send_to_client(flow, body + DINV_USERNET_UDP_SIZE, said - DINV_USERNET_UDP_SIZE);
    }
}

bool dinv_usernet_udp_from_guest(DinvUsernetUdp *udp, const DinvUsernetPacket *packet) {
    if (packet->protocol != DINV_USERNET_PROTOCOL_UDP || packet->source_port == 0 ||
        packet->source != udp->config.guest.s_addr ||
        dinv_usernet_udp_flows_count(udp->flows) == 0) {
        return false;
    }
    DinvUsernetUdpFlow *flow =
        flow_of(udp, packet->destination, packet->source_port, packet->destination_port);
    if (flow != NULL) {
        take_datagram(flow, packet->body, packet->body_len);
    }
    return flow != NULL;
}

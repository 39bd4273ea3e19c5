/* SPDX-License-Identifier: MIT */
/* libslirp: its callbacks, its sockets in our loop, and every frame that goes into it or comes
 * from it looked at on the way. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "usernet/process/network-internal.h"

/* libslirp's own, when it has no timer that runs. */
#define NO_TIMER_MS 1000u
/* For the start-up check: no forward is there yet. */
#define CHECK_PORT  1
#define SEGMENT_MAX 21800

static DinvUsernetFlow *flow_of(DinvUsernetNetwork *network, const DinvUsernetPacket *packet,
                                bool from_guest, DinvUsernetFlowKey *key) {
    *key = from_guest ? (DinvUsernetFlowKey){packet->source, packet->destination,
                                             packet->source_port, packet->destination_port}
                      : (DinvUsernetFlowKey){packet->destination, packet->source,
                                             packet->destination_port, packet->source_port};
    return dinv_usernet_flows_find(network->flows, key);
}

static bool is_tcp(const DinvUsernetPacket *packet) {
    return packet->protocol == DINV_USERNET_PROTOCOL_TCP && packet->source_port != 0;
}

static ssize_t stack_send_packet(const void *frame, size_t len, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    DinvUsernetPacket packet;
    DinvUsernetFlowKey key;
    if (dinv_usernet_packet_parse(frame, len, &packet) && is_tcp(&packet)) {
        DinvUsernetFlow *flow = flow_of(network, &packet, false, &key);
        if (flow != NULL) {
            dinv_usernet_flow_to_guest(network->flows, flow, &packet);
        }
        if (flow != NULL && flow->end_told) {
            return (ssize_t)len; /* the guest knows of no connection any more */
        }
    }
    dinv_usernet_frames_send(network->frames, frame, len);
    return (ssize_t)len;
}

static bool is_arp(const uint8_t *frame, size_t len) {
    return len >= DINV_USERNET_ARP_SIZE && frame[12] == 0x08 && frame[13] == 0x06;
}

/* Nothing that libslirp would only look at to throw it away, or has code for that nobody needs. */
static bool is_wanted(const DinvUsernetPacket *packet) {
    return packet->protocol == DINV_USERNET_PROTOCOL_TCP ||
           packet->protocol == DINV_USERNET_PROTOCOL_UDP ||
           packet->protocol == DINV_USERNET_PROTOCOL_ICMP;
}

/* A SYN that asks for segments of a third of libslirp's window at most: of those that are larger
 * than half of it one alone would be under way, and when a full window has been emptied libslirp
 * says so only once there is room for two. */
static const uint8_t *limit_segments(DinvUsernetNetwork *network, DinvUsernetPacket *packet,
                                     const uint8_t *frame, size_t len) {
    if (len > sizeof(network->changed)) {
        return frame;
    }
    size_t tcp = (size_t)(packet->body - frame);
    memcpy(network->changed, frame, len);
    dinv_usernet_segment_limit_mss(network->changed + tcp, packet->body_len - packet->data_len,
                                   SEGMENT_MAX);
    (void)dinv_usernet_packet_parse(network->changed, len, packet);
    return network->changed;
}

static void input_packet(DinvUsernetNetwork *network, DinvUsernetPacket *packet,
                         const uint8_t *frame, size_t len) {
    DinvUsernetFlowKey key;
    if (packet->source == network->guest.s_addr) {
        dinv_usernet_udp_learn(network->udp, packet->source_mac);
        if (dinv_usernet_udp_from_guest(network->udp, packet)) {
            return;
        }
    }
    if (is_tcp(packet)) {
        if ((packet->flags & DINV_USERNET_TCP_SYN) != 0) {
            frame = limit_segments(network, packet, frame, len);
        }
        DinvUsernetFlow *flow = flow_of(network, packet, true, &key);
        if (flow != NULL) {
            frame = dinv_usernet_ends_hold(network, flow, packet, frame, len);
            if (frame == NULL) {
                return;
            }
            dinv_usernet_flow_from_guest(network->flows, flow, packet, dinv_usernet_now_ns());
        } else if ((packet->flags & DINV_USERNET_TCP_SYN) != 0) {
            network->connecting = &key;
        }
    }
    slirp_input(network->slirp, frame, (int)len);
    network->connecting = NULL;
}

void dinv_usernet_stack_input(DinvUsernetNetwork *network, const uint8_t *frame, size_t len) {
    DinvUsernetPacket packet;
    if (is_arp(frame, len)) {
        if (memcmp(frame + 28, &network->guest, 4) == 0) {
            dinv_usernet_udp_learn(network->udp, frame + 22);
        }
        slirp_input(network->slirp, frame, (int)len);
        return;
    }
    if (!dinv_usernet_packet_parse(frame, len, &packet) || !is_wanted(&packet)) {
        return;
    }
    if (packet.fragment_offset > 0 || packet.more_fragments) {
        frame = dinv_usernet_reassembly_add(network->reassembly, &packet, &len);
        if (frame == NULL || !dinv_usernet_packet_parse(frame, len, &packet)) {
            return;
        }
    }
    input_packet(network, &packet, frame, len);
}

/* What a guest does wrong is its own affair, and could fill a log. */
static void stack_guest_error(const char *message, void *opaque) {
    (void)message;
    (void)opaque;
}

static int64_t stack_clock(void *opaque) {
    (void)opaque;
    return dinv_usernet_now_ns();
}

/* IPv6's alone, which the guest's side does not have. */
static void *stack_timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque) {
    (void)callback;
    (void)callback_opaque;
    (void)opaque;
    return calloc(1, 1);
}

static void stack_timer_free(void *timer, void *opaque) {
    (void)opaque;
    free(timer);
}

static void stack_timer_mod(void *timer, int64_t expires_ms, void *opaque) {
    (void)timer;
    (void)expires_ms;
    (void)opaque;
}

static void stack_register(int fd, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    if (network->connecting != NULL) {
        (void)dinv_usernet_flows_add(network->flows, network->connecting, fd, NULL,
                                     dinv_usernet_now_ns());
    }
}

static void stack_unregister(int fd, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    dinv_usernet_flows_remove(network->flows, fd);
    dinv_usernet_loop_forget(network->loop, fd);
    if (network->listeners_rest) {
        dinv_usernet_forwards_wake(network);
    }
}

static void stack_notify(void *opaque) {
    (void)opaque;
}

static const SlirpCb callbacks = {
    .send_packet = stack_send_packet,
    .guest_error = stack_guest_error,
    .clock_get_ns = stack_clock,
    .timer_new = stack_timer_new,
    .timer_free = stack_timer_free,
    .timer_mod = stack_timer_mod,
    .register_poll_fd = stack_register,
    .unregister_poll_fd = stack_unregister,
    .notify = stack_notify,
};

Slirp *dinv_usernet_stack_new(DinvUsernetNetwork *network) {
    SlirpConfig config = {
        .version = 4,
        .in_enabled = true,
        .vnetwork = network->config.network,
        .vnetmask = network->config.mask,
        .vhost = network->gateway,
        .vdhcp_start = network->guest,
        .vnameserver = network->resolver,
        .if_mtu = network->config.mtu,
        .if_mru = network->config.mtu,
        .disable_dhcp = true,
    };
    return slirp_new(&config, &callbacks, network);
}

static int stack_add_poll(int fd, int events, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    if (dinv_usernet_doors_is_door(network->doors, fd)) {
        return fd;
    }
    network->polled++;
    dinv_usernet_ends_polled(network, fd, (events & SLIRP_POLL_OUT) != 0);
    if ((events & SLIRP_POLL_IN) != 0 && dinv_usernet_ends_hide(network, fd)) {
        events &= ~(SLIRP_POLL_IN | SLIRP_POLL_PRI);
    }
    dinv_usernet_loop_want(network->loop, fd,
                           ((events & SLIRP_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                               ((events & SLIRP_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0) |
                               ((events & SLIRP_POLL_PRI) != 0 ? (uint32_t)EPOLLPRI : 0));
    return fd;
}

int dinv_usernet_stack_fill(DinvUsernetNetwork *network) {
    uint32_t timeout = NO_TIMER_MS;
    network->polled = 0;
    dinv_usernet_loop_begin(network->loop);
    slirp_pollfds_fill(network->slirp, &timeout, stack_add_poll, network);
    /* Doors alone make it run its slow timers, which then have nothing to do. */
    bool idle = network->polled == 0 && dinv_usernet_flows_count(network->flows) == 0;
    return idle || timeout >= NO_TIMER_MS ? -1 : (int)timeout;
}

/* One socket may give many frames; as soon as one of them has to wait, the others keep what they
 * have. */
static int stack_get_events(int fd, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    if (dinv_usernet_frames_blocked(network->frames)) {
        return 0;
    }
    if (dinv_usernet_doors_is_door(network->doors, fd)) {
        return dinv_usernet_doors_is_ready(network->doors, fd) ? SLIRP_POLL_IN : 0;
    }
    uint32_t seen = dinv_usernet_loop_seen(network->loop, fd);
    if ((seen & EPOLLIN) != 0 && dinv_usernet_ends_hide(network, fd)) {
        seen &= ~(uint32_t)(EPOLLIN | EPOLLPRI);
    }
    return ((seen & EPOLLIN) != 0 ? SLIRP_POLL_IN : 0) |
           ((seen & EPOLLOUT) != 0 ? SLIRP_POLL_OUT : 0) |
           ((seen & EPOLLPRI) != 0 ? SLIRP_POLL_PRI : 0);
}

void dinv_usernet_stack_poll(DinvUsernetNetwork *network) {
    slirp_pollfds_poll(network->slirp, 0, stack_get_events, network);
}

static int all_readable(int fd, void *opaque) {
    DinvUsernetNetwork *network = opaque;
    return dinv_usernet_doors_is_door(network->doors, fd) ? SLIRP_POLL_IN : 0;
}

bool dinv_usernet_stack_check(DinvUsernetNetwork *network) {
    DinvUsernetForward forward = {.guest_port = CHECK_PORT};
    if (dinv_usernet_doors_open(network->doors, network->slirp, CHECK_PORT) < 0) {
        return false;
    }
    unsigned before = dinv_usernet_doors_accepts(network->doors);
    (void)dinv_usernet_stack_fill(network);
    slirp_pollfds_poll(network->slirp, 0, all_readable, network);
    bool called = dinv_usernet_doors_accepts(network->doors) == before + 1;
    dinv_usernet_doors_close(network->doors, network->slirp, &forward);
    return called;
}

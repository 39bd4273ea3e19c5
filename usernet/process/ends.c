/* SPDX-License-Identifier: MIT */
/*
 * How connections end, so that nothing is lost at the end of one.
 *
 * libslirp closes a connection that both sides have finished at its own time, whether or not it
 * has given the client all that the guest sent: ten seconds after the guest's FIN if the client
 * finished first, with the guest's last acknowledgement otherwise. What a slow client has not
 * read by then is gone, up to 128 KiB, and the client sees an orderly end. So libslirp hears of
 * the second end only when the client has been given everything before it:
 *
 * - A client's end behind the guest's stays in its socket.
 * - The guest's end behind the client's is taken out of its frame and held. Until libslirp gets
 *   it, in a frame of ours, the guest may wait for long; it would give up, and answer what comes
 *   then with a reset. So it is acknowledged at once, and from then on nothing of libslirp's
 *   goes to the guest, and segments of ours keep libslirp from giving up (probes.c).
 *
 * Finished by both sides: libslirp keeps the connection for ten seconds, in TIME_WAIT, in case
 * its last acknowledgement was lost. Between it and the machine nothing is lost, and a thousand
 * connections a second would be ten thousand descriptors. A reset that the guest did not send
 * ends it.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "usernet/process/network-internal.h"

static bool is_wanted_out(const DinvUsernetNetwork *network, const DinvUsernetFlow *flow) {
    return dinv_usernet_loop_is_wanted(network->loop, flow->fd, EPOLLOUT);
}

/* --- The client's end --- */

static bool is_at_end(int fd) {
    char byte;
    return recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool dinv_usernet_ends_hide(DinvUsernetNetwork *network, int fd) {
    const DinvUsernetFlow *flow = dinv_usernet_flows_of_fd(network->flows, fd);
    return flow != NULL && flow->guest_finished && !flow->given && is_at_end(fd);
}

void dinv_usernet_ends_polled(DinvUsernetNetwork *network, int fd, bool has_more) {
    DinvUsernetFlow *flow = dinv_usernet_flows_of_fd(network->flows, fd);
    if (flow != NULL && flow->guest_finished && !flow->given && !has_more &&
        flow->acknowledged == flow->from_guest_next) {
        dinv_usernet_flow_given(flow);
    }
}

/* --- The guest's end --- */

/* A segment of the guest without data, into libslirp, which may remove the flow. */
static void input_segment(DinvUsernetNetwork *network, const DinvUsernetFlow *flow,
                          uint32_t sequence, uint8_t flags) {
    DinvUsernetHeader header = {
        .source_mac = dinv_usernet_udp_own_mac(network->udp),
        .destination_mac = dinv_usernet_udp_own_mac(network->udp),
        .source = flow->key.guest,
        .destination = flow->key.foreign,
        .protocol = DINV_USERNET_PROTOCOL_TCP,
    };
    DinvUsernetSegment segment = {
        .source_port = flow->key.guest_port,
        .destination_port = flow->key.foreign_port,
        .sequence = sequence,
        .acknowledged = flow->guest_acknowledged,
        .window = flow->guest_window,
        .flags = flags,
    };
    uint8_t frame[DINV_USERNET_PROBE_SIZE];
    dinv_usernet_segment_write(frame, &header, &segment);
    slirp_input(network->slirp, frame, sizeof(frame));
}

void dinv_usernet_ends_tell_guest(DinvUsernetNetwork *network, const DinvUsernetFlow *flow,
                                  uint32_t sequence, uint32_t acknowledged) {
    const uint8_t *guest_mac = dinv_usernet_udp_guest_mac(network->udp);
    if (guest_mac == NULL || dinv_usernet_frames_blocked(network->frames)) {
        return;
    }
    DinvUsernetHeader header = {
        .source_mac = dinv_usernet_udp_own_mac(network->udp),
        .destination_mac = guest_mac,
        .source = flow->key.foreign,
        .destination = flow->key.guest,
        .protocol = DINV_USERNET_PROTOCOL_TCP,
    };
    DinvUsernetSegment segment = {
        .source_port = flow->key.foreign_port,
        .destination_port = flow->key.guest_port,
        .sequence = sequence,
        .acknowledged = acknowledged,
        .window = flow->window,
        .flags = DINV_USERNET_TCP_ACK,
    };
    uint8_t frame[DINV_USERNET_PROBE_SIZE];
    dinv_usernet_segment_write(frame, &header, &segment);
    dinv_usernet_frames_send(network->frames, frame, sizeof(frame));
}

/* Its end; a guest that does not hear of it sends it again. */
static void acknowledge(DinvUsernetNetwork *network, const DinvUsernetFlow *flow) {
    dinv_usernet_ends_tell_guest(network, flow, flow->to_guest_next, flow->end_sequence + 1);
}

const uint8_t *dinv_usernet_ends_hold(DinvUsernetNetwork *network, DinvUsernetFlow *flow,
                                      DinvUsernetPacket *packet, const uint8_t *frame, size_t len) {
    const uint8_t others = DINV_USERNET_TCP_RST | DINV_USERNET_TCP_SYN;
    if (flow->end_told && (packet->flags & DINV_USERNET_TCP_SYN) != 0) {
        return NULL; /* a new connection under the same name has to wait; it asks again */
    }
    if (!flow->outside_finished || flow->guest_finished || (packet->flags & others) != 0 ||
        (packet->flags & DINV_USERNET_TCP_FIN) == 0 || len > sizeof(network->changed)) {
        return frame;
    }
    if (flow->end_told) {
        acknowledge(network, flow);
        return NULL;
    }
    size_t tcp = (size_t)(packet->body - frame);
    uint8_t *copy = memcpy(network->changed, frame, len);
    dinv_usernet_segment_without_fin(copy + tcp);
    (void)dinv_usernet_packet_parse(copy, len, packet);
    dinv_usernet_flows_hold_end(network->flows, flow,
                                packet->sequence + (uint32_t)packet->data_len);
    return copy;
}

/* libslirp has all that the guest sent, and the client has it, or not yet. */
static void handle_held(DinvUsernetNetwork *network, DinvUsernetFlow *flow) {
    if (flow->acknowledged != flow->end_sequence) {
        return;
    }
    if (!is_wanted_out(network, flow)) {
        dinv_usernet_flow_end_guest(flow);
        input_segment(network, flow, flow->end_sequence,
                      DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN);
    } else if (!flow->end_told && flow->guest_acknowledged == flow->to_guest_next) {
        flow->end_told = true;
        acknowledge(network, flow);
    }
}

void dinv_usernet_ends_keep(DinvUsernetNetwork *network, DinvUsernetFlow *flow, int64_t now_ns) {
    flow->last_ns = now_ns;
    input_segment(network, flow, flow->end_sequence, DINV_USERNET_TCP_ACK);
}

/* --- Both --- */

/* All is acknowledged both ways, and the client has been given all that the guest sent. */
static bool is_over(const DinvUsernetNetwork *network, const DinvUsernetFlow *flow) {
    return flow->guest_finished && flow->acknowledged == flow->from_guest_next &&
           flow->guest_acknowledged == flow->to_guest_next && !is_wanted_out(network, flow);
}

void dinv_usernet_ends_tick(DinvUsernetNetwork *network) {
    DinvUsernetFlow *flow = dinv_usernet_flows_ending(network->flows);
    while (flow != NULL) {
        DinvUsernetFlow *next = flow->next_ending;
        int fd = flow->fd;
        if (!flow->guest_finished) {
            handle_held(network, flow);
        }
        if (dinv_usernet_flows_of_fd(network->flows, fd) == flow && is_over(network, flow)) {
            input_segment(network, flow, flow->from_guest_next, DINV_USERNET_TCP_RST);
        }
        flow = next;
    }
}

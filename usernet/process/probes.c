/* SPDX-License-Identifier: MIT */
/*
 * Segments that this process makes itself, for connections at their end.
 *
 * Half-closed: the client has said all and waits for an answer that may take an hour. libslirp
 * drops such a connection when it has heard nothing of the guest for ten minutes, and so does a
 * guest that translates addresses. A segment that the guest has had already, with no data, makes
 * it answer with where it stands (RFC 1122, 4.2.3.6): both have heard something then. A guest
 * that does not answer is dropped as before.
 *
 * Finished by both sides: libslirp keeps it for ten seconds, in TIME_WAIT, in case its last
 * acknowledgement was lost. Between it and the machine nothing is lost, and a thousand
 * connections a second would be ten thousand descriptors. A reset that the guest did not send
 * ends it.
 */
#include <sys/epoll.h>

#include "usernet/process/network-internal.h"

typedef struct {
    DinvUsernetNetwork *network;
    int64_t now_ns;
} Round;

static void probe(void *opaque, DinvUsernetFlow *flow) {
    const Round *round = opaque;
    DinvUsernetNetwork *network = round->network;
    if (!flow->outside_finished || flow->guest_finished || !flow->to_guest_known ||
        round->now_ns - flow->last_ns < network->config.probe_ns ||
        dinv_usernet_frames_blocked(network->frames)) {
        return;
    }
    DinvUsernetHeader header = {
        .source_mac = dinv_usernet_udp_own_mac(network->udp),
        .destination_mac = dinv_usernet_udp_guest_mac(network->udp),
        .source = flow->key.foreign,
        .destination = flow->key.guest,
        .protocol = DINV_USERNET_PROTOCOL_TCP,
    };
    DinvUsernetSegment segment = {
        .source_port = flow->key.foreign_port,
        .destination_port = flow->key.guest_port,
        .sequence = flow->to_guest_next - 1,
        .acknowledged = flow->acknowledged,
        .window = flow->window,
        .flags = DINV_USERNET_TCP_ACK,
    };
    uint8_t frame[DINV_USERNET_PROBE_SIZE];
    dinv_usernet_segment_write(frame, &header, &segment);
    dinv_usernet_frames_send(network->frames, frame, sizeof(frame));
}

void dinv_usernet_probes_tick(DinvUsernetNetwork *network, int64_t now_ns) {
    if (now_ns - network->probes_ns < network->config.probe_ns / 4 ||
        dinv_usernet_udp_guest_mac(network->udp) == NULL) {
        return;
    }
    network->probes_ns = now_ns;
    Round round = {network, now_ns};
    dinv_usernet_flows_each(network->flows, probe, &round);
}

/* All is acknowledged both ways, and the client has been given all that the guest sent. */
static bool is_over(const DinvUsernetNetwork *network, const DinvUsernetFlow *flow) {
    return flow->acknowledged == flow->from_guest_next &&
           flow->guest_acknowledged == flow->to_guest_next &&
           !dinv_usernet_loop_is_wanted(network->loop, flow->fd, EPOLLOUT);
}

void dinv_usernet_probes_end_finished(DinvUsernetNetwork *network) {
    DinvUsernetFlow *flow = dinv_usernet_flows_finished(network->flows);
    while (flow != NULL) {
        DinvUsernetFlow *next = flow->next_finished;
        if (is_over(network, flow)) {
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
                .sequence = flow->from_guest_next,
                .flags = DINV_USERNET_TCP_RST,
            };
            uint8_t frame[DINV_USERNET_PROBE_SIZE];
            dinv_usernet_segment_write(frame, &header, &segment);
            slirp_input(network->slirp, frame, sizeof(frame)); /* removes the flow */
        }
        flow = next;
    }
}

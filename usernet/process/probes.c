/* SPDX-License-Identifier: MIT */
/*
 * Segments that keep half-closed connections alive. One side has said all and waits for an answer
 * that may take an hour. libslirp drops a connection that the client has half-closed when it has
 * heard nothing of the guest for ten minutes, and a guest that translates addresses forgets it
 * after one, whoever has. A segment that the guest has had already, with no data, makes it answer
 * with where it stands (RFC 1122, 4.2.3.6): both have heard something then. A guest that does not
 * answer is dropped as before.
 */
#include "usernet/process/network-internal.h"

typedef struct {
    DinvUsernetNetwork *network;
    int64_t now_ns;
} Round;

static void probe(void *opaque, DinvUsernetFlow *flow) {
    const Round *round = opaque;
    DinvUsernetNetwork *network = round->network;
    if (flow->outside_finished == flow->guest_finished || !flow->to_guest_known ||
        round->now_ns - flow->last_ns < network->config.probe_ns ||
        dinv_usernet_frames_blocked(network->frames)) {
        return;
    }
    if (flow->end_told) {
        dinv_usernet_ends_keep(network, flow, round->now_ns);
        return;
    }
    dinv_usernet_ends_tell_guest(network, flow, flow->to_guest_next - 1, flow->acknowledged);
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

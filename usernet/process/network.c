/* SPDX-License-Identifier: MIT */
/* The parts put together, and the turn of the loop. */
#include "usernet/process/network.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "usernet/process/network-internal.h"

/* Host parts of the guest's network. */
#define HOST_GATEWAY  2u
#define HOST_RESOLVER 3u
#define HOST_GUEST    15u

static void network_on_frame(void *opaque, const uint8_t *frame, size_t len) {
    dinv_usernet_stack_input(opaque, frame, len);
}

static struct in_addr host_of(const DinvUsernetConfig *config, uint32_t host) {
    return (struct in_addr){config->network.s_addr | htonl(host)};
}

static const char *make_parts(DinvUsernetNetwork *network, int frames_fd) {
    network->flows = dinv_usernet_flows_new();
    if (network->flows != NULL) {
        network->doors = dinv_usernet_doors_new(network->flows, network->guest, network->gateway,
                                                network->config.mask);
    }
    if (network->doors == NULL) {
        return "no memory for the tables of connections";
    }
    network->frames = dinv_usernet_frames_new(network->loop, frames_fd, network_on_frame, network);
    if (network->frames == NULL) {
        return "the socket for frames cannot be watched";
    }
    DinvUsernetUdpConfig udp = {network->config.network, network->config.mask, network->gateway,
                                network->guest, network->config.mtu};
    network->udp = dinv_usernet_udp_new(network->loop, network->frames, &udp);
    network->reassembly = dinv_usernet_reassembly_new();
    if (network->udp == NULL || network->reassembly == NULL) {
        return "no memory for the table of datagrams";
    }
    network->slirp = dinv_usernet_stack_new(network);
    if (network->slirp == NULL) {
        return "libslirp does not take this configuration";
    }
    if (!dinv_usernet_stack_check(network)) {
        return "libslirp does not call this program's accept(); it has to be linked dynamically";
    }
    return NULL;
}

DinvUsernetNetwork *dinv_usernet_network_new(DinvUsernetLoop *loop, int frames_fd,
                                             const DinvUsernetConfig *config,
                                             const char **problem) {
    DinvUsernetNetwork *network = calloc(1, sizeof(*network));
    if (network == NULL) {
        *problem = "no memory";
        return NULL;
    }
    network->config = *config;
    network->loop = loop;
    network->gateway = host_of(config, HOST_GATEWAY);
    network->resolver = host_of(config, HOST_RESOLVER);
    network->guest = host_of(config, HOST_GUEST);
    *problem = make_parts(network, frames_fd);
    if (*problem != NULL) {
        dinv_usernet_network_free(network);
        return NULL;
    }
    return network;
}

void dinv_usernet_network_free(DinvUsernetNetwork *network) {
    if (network == NULL) {
        return;
    }
    dinv_usernet_forwards_free(network);
    if (network->slirp != NULL) {
        slirp_cleanup(network->slirp);
    }
    dinv_usernet_doors_free(network->doors);
    dinv_usernet_udp_free(network->udp);
    dinv_usernet_reassembly_free(network->reassembly);
    dinv_usernet_flows_free(network->flows);
    dinv_usernet_frames_free(network->frames);
    free(network);
}

static int sooner(int timeout, int64_t at_ns, int64_t now_ns) {
    int64_t left = (at_ns - now_ns) / 1000000 + 1;
    int bounded = left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
    return timeout < 0 || bounded < timeout ? bounded : timeout;
}

/* libslirp's timers run in dinv_usernet_stack_poll(): a guest that takes no frames gets none sent
 * again either. Without that, what waits would grow for as long as it is away. */
void dinv_usernet_network_turn(DinvUsernetNetwork *network) {
    int timeout = dinv_usernet_stack_fill(network);
    dinv_usernet_ends_tick(network);
    bool blocked = dinv_usernet_frames_blocked(network->frames);
    int64_t now = dinv_usernet_now_ns();
    if (network->listeners_rest) {
        if (now >= network->rest_ends_ns) {
            dinv_usernet_forwards_wake(network);
        } else {
            timeout = sooner(timeout, network->rest_ends_ns, now);
        }
    }
    dinv_usernet_probes_tick(network, now);
    int tick = dinv_usernet_udp_tick(network->udp, now);
    if (tick >= 0 && (timeout < 0 || tick < timeout)) {
        timeout = tick;
    }
    if (blocked) {
        timeout = -1;
    } else if (dinv_usernet_doors_waiting(network->doors) > 0) {
        timeout = 0;
    }
    dinv_usernet_loop_wait(network->loop, timeout, !blocked);
    if (!dinv_usernet_frames_blocked(network->frames)) {
        dinv_usernet_stack_poll(network);
    }
}

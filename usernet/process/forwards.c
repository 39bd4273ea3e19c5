/* SPDX-License-Identifier: MIT */
/* The forwards that the launcher asked for: their listeners in the loop, added and removed. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "usernet/process/network-internal.h"

/* A listener that cannot accept for want of descriptors would be ready all the time. */
#define REST_NS 1000000000

static void forward_ready(void *opaque, uint32_t events);

static int watch(DinvUsernetNetwork *network, DinvUsernetForward *forward, bool on) {
    return dinv_usernet_loop_watch(network->loop, forward->fd, DINV_USERNET_OUTSIDE,
                                   on ? EPOLLIN : 0, forward_ready, forward);
}

static void watch_all(DinvUsernetNetwork *network, bool on) {
    for (DinvUsernetForward *forward = network->forwards; forward != NULL;
         forward = forward->next) {
        if (!forward->endpoint.udp) {
            (void)watch(network, forward, on);
        }
    }
}

void dinv_usernet_forwards_wake(DinvUsernetNetwork *network) {
    network->listeners_rest = false;
    watch_all(network, true);
}

static void forward_ready(void *opaque, uint32_t events) {
    DinvUsernetForward *forward = opaque;
    DinvUsernetNetwork *network = forward->owner;
    (void)events;
    if (dinv_usernet_doors_take(network->doors, forward) < 0) {
        network->listeners_rest = true;
        network->rest_ends_ns = dinv_usernet_now_ns() + REST_NS;
        watch_all(network, false);
    }
}

static int connect_inside(DinvUsernetNetwork *network, DinvUsernetForward *forward) {
    if (forward->endpoint.udp) {
        return dinv_usernet_udp_add(network->udp, forward);
    }
    int result = dinv_usernet_doors_open(network->doors, network->slirp, forward->guest_port);
    if (result == 0) {
        result = watch(network, forward, !network->listeners_rest);
        if (result < 0) {
            dinv_usernet_doors_close(network->doors, network->slirp, forward);
        }
    }
    return result;
}

int dinv_usernet_network_add(DinvUsernetNetwork *network, const DinvUsernetEndpoint *endpoint,
                             uint16_t guest_port, const char **step) {
    *step = "forward";
    DinvUsernetForward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL) {
        return -ENOMEM;
    }
    forward->endpoint = *endpoint;
    forward->guest_port = guest_port;
    forward->owner = network;
    forward->fd = dinv_usernet_forward_open(endpoint, step);
    if (forward->fd < 0) {
        int error = forward->fd;
        free(forward);
        return error;
    }
    *step = "forward";
    int result = connect_inside(network, forward);
    if (result < 0) {
        (void)close(forward->fd);
        free(forward);
        return result;
    }
    forward->next = network->forwards;
    network->forwards = forward;
    return 0;
}

static void forward_free(DinvUsernetNetwork *network, DinvUsernetForward *forward) {
    dinv_usernet_loop_forget(network->loop, forward->fd);
    if (forward->endpoint.udp) {
        dinv_usernet_udp_remove(network->udp, forward);
    } else {
        dinv_usernet_doors_close(network->doors, network->slirp, forward);
        dinv_usernet_flows_orphan(network->flows, forward);
    }
    (void)close(forward->fd);
    free(forward);
}

int dinv_usernet_network_remove(DinvUsernetNetwork *network, const DinvUsernetEndpoint *endpoint) {
    for (DinvUsernetForward **at = &network->forwards; *at != NULL; at = &(*at)->next) {
        DinvUsernetForward *forward = *at;
        if (dinv_usernet_endpoint_equal(&forward->endpoint, endpoint)) {
            *at = forward->next;
            forward_free(network, forward);
            return 0;
        }
    }
    return -ENOENT;
}

const DinvUsernetForward *dinv_usernet_network_next(const DinvUsernetNetwork *network,
                                                    const DinvUsernetForward *forward) {
    return forward == NULL ? network->forwards : forward->next;
}

void dinv_usernet_forwards_free(DinvUsernetNetwork *network) {
    while (network->forwards != NULL) {
        DinvUsernetForward *forward = network->forwards;
        network->forwards = forward->next;
        forward_free(network, forward);
    }
}

/* SPDX-License-Identifier: MIT */
/* A hash table of connections, their sockets' linger, and what passes counted. */
#include "usernet/process/flows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "usernet/process/forward.h"

#define BUCKETS_MIN 256u
#define FDS_MIN     256u

struct DinvUsernetFlows {
    DinvUsernetFlow **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    DinvUsernetFlow *ending; /* by next_ending */
    DinvUsernetFlow **by_fd;
    size_t fd_count;
};

DinvUsernetFlows *dinv_usernet_flows_new(void) {
    DinvUsernetFlows *flows = calloc(1, sizeof(*flows));
    if (flows != NULL) {
        flows->buckets = calloc(BUCKETS_MIN, sizeof(DinvUsernetFlow *));
        flows->bucket_count = BUCKETS_MIN;
        if (flows->buckets == NULL) {
            free(flows);
            flows = NULL;
        }
    }
    return flows;
}

void dinv_usernet_flows_free(DinvUsernetFlows *flows) {
    if (flows == NULL) {
        return;
    }
    for (size_t i = 0; i < flows->bucket_count; i++) {
        for (DinvUsernetFlow *flow = flows->buckets[i]; flow != NULL;) {
            DinvUsernetFlow *next = flow->next_in_bucket;
            free(flow);
            flow = next;
        }
    }
    free(flows->buckets);
    free(flows->by_fd);
    free(flows);
}

size_t dinv_usernet_flows_count(const DinvUsernetFlows *flows) {
    return flows->count;
}

/* The ports of clients, which differ most, times an odd number; a guest that makes collisions makes
 * its own network slow. */
static size_t bucket_of(const DinvUsernetFlows *flows, const DinvUsernetFlowKey *key) {
    uint64_t mixed = ((uint64_t)key->guest << 32 | key->foreign) * 0x9e3779b97f4a7c15u;
    mixed ^= (uint64_t)key->guest_port << 16 | key->foreign_port;
    mixed *= 0xd6e8feb86659fd93u;
    return (size_t)(mixed >> 32) & (flows->bucket_count - 1);
}

static bool is_key(const DinvUsernetFlowKey *a, const DinvUsernetFlowKey *b) {
    return a->guest == b->guest && a->foreign == b->foreign && a->guest_port == b->guest_port &&
           a->foreign_port == b->foreign_port;
}

DinvUsernetFlow *dinv_usernet_flows_find(DinvUsernetFlows *flows, const DinvUsernetFlowKey *key) {
    DinvUsernetFlow *flow = flows->buckets[bucket_of(flows, key)];
    while (flow != NULL && !is_key(&flow->key, key)) {
        flow = flow->next_in_bucket;
    }
    return flow;
}

static void insert(DinvUsernetFlows *flows, DinvUsernetFlow *flow) {
    DinvUsernetFlow **bucket = &flows->buckets[bucket_of(flows, &flow->key)];
    flow->next_in_bucket = *bucket;
    *bucket = flow;
}

/* Without memory the chains just grow longer. */
static void grow_buckets(DinvUsernetFlows *flows) {
    DinvUsernetFlow **old = flows->buckets;
    size_t old_count = flows->bucket_count;
    DinvUsernetFlow **buckets = calloc(old_count * 2, sizeof(DinvUsernetFlow *));
    if (buckets == NULL) {
        return;
    }
    flows->buckets = buckets;
    flows->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            DinvUsernetFlow *flow = old[i];
            old[i] = flow->next_in_bucket;
            insert(flows, flow);
        }
    }
    free(old);
}

static bool make_room_for_fd(DinvUsernetFlows *flows, int fd) {
    size_t count = flows->fd_count < FDS_MIN ? FDS_MIN : flows->fd_count;
    while (count <= (size_t)fd) {
        count *= 2;
    }
    if (count == flows->fd_count) {
        return true;
    }
    DinvUsernetFlow **by_fd = reallocarray(flows->by_fd, count, sizeof(DinvUsernetFlow *));
    if (by_fd == NULL) {
        return false;
    }
    memset(by_fd + flows->fd_count, 0, (count - flows->fd_count) * sizeof(DinvUsernetFlow *));
    flows->by_fd = by_fd;
    flows->fd_count = count;
    return true;
}

static void set_reset_on_close(int fd, bool on) {
    struct linger linger = {.l_onoff = on, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

DinvUsernetFlow *dinv_usernet_flows_add(DinvUsernetFlows *flows, const DinvUsernetFlowKey *key,
                                        int fd, DinvUsernetForward *forward, int64_t now_ns) {
    if (fd < 0 || !make_room_for_fd(flows, fd) || flows->by_fd[fd] != NULL ||
        dinv_usernet_flows_find(flows, key) != NULL) {
        return NULL;
    }
    DinvUsernetFlow *flow = malloc(sizeof(*flow));
    if (flow == NULL) {
        return NULL;
    }
    *flow = (DinvUsernetFlow){.key = *key, .fd = fd, .forward = forward, .last_ns = now_ns};
    if (flows->count >= flows->bucket_count) {
        grow_buckets(flows);
    }
    insert(flows, flow);
    flows->by_fd[fd] = flow;
    flows->count++;
    if (forward != NULL) {
        forward->connections++;
        forward->open++;
    }
    set_reset_on_close(fd, true);
    return flow;
}

/* Once both sides have finished. */
static void link_ending(DinvUsernetFlows *flows, DinvUsernetFlow *flow) {
    if (flow->ending || !flow->outside_finished || !(flow->guest_finished || flow->end_held)) {
        return;
    }
    flow->ending = true;
    flow->next_ending = flows->ending;
    if (flows->ending != NULL) {
        flows->ending->previous_ending = flow;
    }
    flows->ending = flow;
    if (flow->forward != NULL) {
        flow->forward->open--;
    }
}

static void unlink_ending(DinvUsernetFlows *flows, DinvUsernetFlow *flow) {
    *(flow->previous_ending != NULL ? &flow->previous_ending->next_ending : &flows->ending) =
        flow->next_ending;
    if (flow->next_ending != NULL) {
        flow->next_ending->previous_ending = flow->previous_ending;
    }
}

DinvUsernetFlow *dinv_usernet_flows_ending(DinvUsernetFlows *flows) {
    return flows->ending;
}

DinvUsernetFlow *dinv_usernet_flows_of_fd(DinvUsernetFlows *flows, int fd) {
    return fd >= 0 && (size_t)fd < flows->fd_count ? flows->by_fd[fd] : NULL;
}

void dinv_usernet_flows_remove(DinvUsernetFlows *flows, int fd) {
    DinvUsernetFlow *flow = dinv_usernet_flows_of_fd(flows, fd);
    if (flow == NULL) {
        return;
    }
    DinvUsernetFlow **at = &flows->buckets[bucket_of(flows, &flow->key)];
    while (*at != flow) {
        at = &(*at)->next_in_bucket;
    }
    *at = flow->next_in_bucket;
    flows->by_fd[fd] = NULL;
    flows->count--;
    if (flow->ending) {
        unlink_ending(flows, flow);
    } else if (flow->forward != NULL) {
        flow->forward->open--;
    }
    free(flow);
}

void dinv_usernet_flows_each(DinvUsernetFlows *flows, void (*each)(void *, DinvUsernetFlow *),
                             void *opaque) {
    for (size_t i = 0; i < flows->bucket_count; i++) {
        for (DinvUsernetFlow *flow = flows->buckets[i]; flow != NULL; flow = flow->next_in_bucket) {
            each(opaque, flow);
        }
    }
}

void dinv_usernet_flows_orphan(DinvUsernetFlows *flows, const DinvUsernetForward *forward) {
    for (size_t i = 0; i < flows->bucket_count; i++) {
        for (DinvUsernetFlow *flow = flows->buckets[i]; flow != NULL; flow = flow->next_in_bucket) {
            if (flow->forward == forward) {
                flow->forward = NULL;
            }
        }
    }
}

/* How far the highest sequence number moves; a segment that is sent again moves nothing. SYN and
 * FIN take a number each and are no payload. */
static uint32_t advance(uint32_t *next, bool *known, const DinvUsernetPacket *packet) {
    uint32_t extra = ((packet->flags & DINV_USERNET_TCP_SYN) != 0 ? 1u : 0) +
                     ((packet->flags & DINV_USERNET_TCP_FIN) != 0 ? 1u : 0);
    uint32_t end = packet->sequence + (uint32_t)packet->data_len + extra;
    uint32_t moved = *known ? end - *next : (uint32_t)packet->data_len + extra;
    if (*known && (int32_t)moved <= 0) {
        return 0;
    }
    *known = true;
    *next = end;
    return moved > extra ? moved - extra : 0;
}

void dinv_usernet_flow_from_guest(DinvUsernetFlows *flows, DinvUsernetFlow *flow,
                                  const DinvUsernetPacket *packet, int64_t now_ns) {
    flow->last_ns = now_ns;
    if ((packet->flags & DINV_USERNET_TCP_RST) != 0) {
        set_reset_on_close(flow->fd, true);
        return;
    }
    flow->guest_acknowledged = packet->acknowledged;
    flow->guest_window = packet->window;
    uint32_t bytes = advance(&flow->from_guest_next, &flow->from_guest_known, packet);
    if (flow->forward != NULL) {
        flow->forward->from_guest += bytes;
    }
    if ((packet->flags & DINV_USERNET_TCP_FIN) != 0) {
        flow->guest_finished = true;
        link_ending(flows, flow);
    }
}

void dinv_usernet_flow_to_guest(DinvUsernetFlows *flows, DinvUsernetFlow *flow,
                                const DinvUsernetPacket *packet) {
    if ((packet->flags & DINV_USERNET_TCP_RST) != 0) {
        return;
    }
    uint32_t bytes = advance(&flow->to_guest_next, &flow->to_guest_known, packet);
    if (flow->forward != NULL) {
        flow->forward->to_guest += bytes;
    }
    flow->acknowledged = packet->acknowledged;
    flow->window = packet->window;
    if ((packet->flags & DINV_USERNET_TCP_FIN) != 0) {
        flow->outside_finished = true;
        link_ending(flows, flow);
    }
}

void dinv_usernet_flows_hold_end(DinvUsernetFlows *flows, DinvUsernetFlow *flow,
                                 uint32_t sequence) {
    flow->end_held = true;
    flow->end_sequence = sequence;
    link_ending(flows, flow);
}

void dinv_usernet_flow_end_guest(DinvUsernetFlow *flow) {
    flow->guest_finished = true;
    flow->from_guest_next = flow->end_sequence + 1;
    dinv_usernet_flow_given(flow);
}

void dinv_usernet_flow_given(DinvUsernetFlow *flow) {
    flow->given = true;
    set_reset_on_close(flow->fd, false);
}

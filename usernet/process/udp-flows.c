/* SPDX-License-Identifier: MIT */
/* Two hash tables over the same flows, and a list of them by age. */
#include "usernet/process/udp-flows.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS    4096u
#define SILENCE_NS ((int64_t)300 * 1000000000)
#define PORT_MIN   1024u
#define PORTS      65536u

struct DinvUsernetUdpFlows {
    struct in_addr network, mask, gateway;
    size_t count;
    uint16_t next_port;
    DinvUsernetUdpFlow *oldest, *newest;
    DinvUsernetUdpFlow *by_client[BUCKETS];
    DinvUsernetUdpFlow *by_key[BUCKETS];
};

DinvUsernetUdpFlows *dinv_usernet_udp_flows_new(struct in_addr network, struct in_addr mask,
                                                struct in_addr gateway) {
    DinvUsernetUdpFlows *flows = calloc(1, sizeof(*flows));
    if (flows != NULL) {
        flows->network = network;
        flows->mask = mask;
        flows->gateway = gateway;
        flows->next_port = 32768;
    }
    return flows;
}

size_t dinv_usernet_udp_flows_count(const DinvUsernetUdpFlows *flows) {
    return flows->count;
}

static size_t mix(uint64_t value) {
    value *= 0x9e3779b97f4a7c15u;
    value ^= value >> 29;
    value *= 0xd6e8feb86659fd93u;
    return (size_t)(value >> 32) % BUCKETS;
}

static size_t client_bucket(const DinvUsernetForward *forward, const DinvUsernetUdpClient *client) {
    uint64_t high;
    uint64_t low;
    memcpy(&high, client->address, 8);
    memcpy(&low, client->address + 8, 8);
    return mix(high ^ (low << 7) ^ ((uint64_t)client->port << 40) ^
               ((uint64_t)forward->endpoint.port << 16));
}

static size_t key_bucket(const DinvUsernetUdpKey *key) {
    return mix((uint64_t)key->foreign << 32 | (uint64_t)key->foreign_port << 16 | key->guest_port);
}

/* Field by field: structures have holes. */
static bool is_client(const DinvUsernetUdpClient *a, const DinvUsernetUdpClient *b) {
    return a->ipv6 == b->ipv6 && a->port == b->port && a->scope == b->scope &&
           a->local_scope == b->local_scope && memcmp(a->address, b->address, 16) == 0 &&
           memcmp(a->local, b->local, 16) == 0;
}

static bool is_key(const DinvUsernetUdpKey *a, const DinvUsernetUdpKey *b) {
    return a->foreign == b->foreign && a->foreign_port == b->foreign_port &&
           a->guest_port == b->guest_port;
}

static void unlink_age(DinvUsernetUdpFlows *flows, DinvUsernetUdpFlow *flow) {
    *(flow->older != NULL ? &flow->older->newer : &flows->oldest) = flow->newer;
    *(flow->newer != NULL ? &flow->newer->older : &flows->newest) = flow->older;
    flow->older = NULL;
    flow->newer = NULL;
}

static void link_newest(DinvUsernetUdpFlows *flows, DinvUsernetUdpFlow *flow) {
    flow->older = flows->newest;
    *(flows->newest != NULL ? &flows->newest->newer : &flows->oldest) = flow;
    flows->newest = flow;
}

static void touch(DinvUsernetUdpFlows *flows, DinvUsernetUdpFlow *flow, int64_t now_ns) {
    flow->last_ns = now_ns;
    if (flows->newest != flow) {
        unlink_age(flows, flow);
        link_newest(flows, flow);
    }
}

static void forget(DinvUsernetUdpFlows *flows, DinvUsernetUdpFlow *flow) {
    DinvUsernetUdpFlow **at = &flows->by_client[client_bucket(flow->forward, &flow->client)];
    while (*at != flow) {
        at = &(*at)->next_by_client;
    }
    *at = flow->next_by_client;
    at = &flows->by_key[key_bucket(&flow->key)];
    while (*at != flow) {
        at = &(*at)->next_by_key;
    }
    *at = flow->next_by_key;
    unlink_age(flows, flow);
    flow->forward->open--;
    flows->count--;
    free(flow);
}

void dinv_usernet_udp_flows_free(DinvUsernetUdpFlows *flows) {
    while (flows != NULL && flows->oldest != NULL) {
        forget(flows, flows->oldest);
    }
    free(flows);
}

static DinvUsernetUdpFlow *find_key(const DinvUsernetUdpFlows *flows,
                                    const DinvUsernetUdpKey *key) {
    DinvUsernetUdpFlow *flow = flows->by_key[key_bucket(key)];
    while (flow != NULL && !is_key(&flow->key, key)) {
        flow = flow->next_by_key;
    }
    return flow;
}

/* Loopback, "this network" and the guest's own network mean something else inside. */
static bool has_own_address(const DinvUsernetUdpFlows *flows, const DinvUsernetUdpClient *client) {
    uint32_t address;
    memcpy(&address, client->address, sizeof(address));
    return !client->ipv6 && client->address[0] != 127 && client->address[0] != 0 &&
           (address & flows->mask.s_addr) != flows->network.s_addr;
}

static bool choose_key(DinvUsernetUdpFlows *flows, const DinvUsernetUdpClient *client,
                       DinvUsernetUdpKey *key) {
    if (has_own_address(flows, client)) {
        memcpy(&key->foreign, client->address, sizeof(key->foreign));
        key->foreign_port = client->port;
        if (client->port != 0 && find_key(flows, key) == NULL) {
            return true;
        }
    }
    key->foreign = flows->gateway.s_addr;
    for (unsigned tried = 0; tried < PORTS; tried++) {
        key->foreign_port = flows->next_port++;
        if (key->foreign_port >= PORT_MIN && find_key(flows, key) == NULL) {
            return true;
        }
    }
    return false;
}

DinvUsernetUdpFlow *dinv_usernet_udp_flows_of_client(DinvUsernetUdpFlows *flows,
                                                     DinvUsernetForward *forward,
                                                     const DinvUsernetUdpClient *client,
                                                     int64_t now_ns) {
    size_t bucket = client_bucket(forward, client);
    for (DinvUsernetUdpFlow *flow = flows->by_client[bucket]; flow != NULL;
         flow = flow->next_by_client) {
        if (flow->forward == forward && is_client(&flow->client, client)) {
            touch(flows, flow, now_ns);
            return flow;
        }
    }
    if (flows->count >= DINV_USERNET_UDP_FLOWS_MAX) {
        forget(flows, flows->oldest);
    }
    DinvUsernetUdpFlow *flow = calloc(1, sizeof(*flow));
    if (flow == NULL) {
        return NULL;
    }
    flow->forward = forward;
    flow->client = *client;
    flow->key.guest_port = forward->guest_port;
    flow->last_ns = now_ns;
    if (!choose_key(flows, client, &flow->key)) {
        free(flow);
        return NULL;
    }
    flow->next_by_client = flows->by_client[bucket];
    flows->by_client[bucket] = flow;
    DinvUsernetUdpFlow **at = &flows->by_key[key_bucket(&flow->key)];
    flow->next_by_key = *at;
    *at = flow;
    link_newest(flows, flow);
    flows->count++;
    forward->connections++;
    forward->open++;
    return flow;
}

DinvUsernetUdpFlow *dinv_usernet_udp_flows_of_key(DinvUsernetUdpFlows *flows,
                                                  const DinvUsernetUdpKey *key, int64_t now_ns) {
    DinvUsernetUdpFlow *flow = find_key(flows, key);
    if (flow != NULL) {
        touch(flows, flow, now_ns);
    }
    return flow;
}

void dinv_usernet_udp_flows_expire(DinvUsernetUdpFlows *flows, int64_t now_ns) {
    while (flows->oldest != NULL && now_ns - flows->oldest->last_ns > SILENCE_NS) {
        forget(flows, flows->oldest);
    }
}

void dinv_usernet_udp_flows_drop(DinvUsernetUdpFlows *flows, const DinvUsernetForward *forward) {
    for (DinvUsernetUdpFlow *flow = flows->oldest; flow != NULL;) {
        DinvUsernetUdpFlow *newer = flow->newer;
        if (flow->forward == forward) {
            forget(flows, flow);
        }
        flow = newer;
    }
}

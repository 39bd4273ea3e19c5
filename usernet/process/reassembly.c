/* SPDX-License-Identifier: MIT */
/* A few buffers of the largest datagram, found by addresses, protocol and identification. */
#include "usernet/process/reassembly.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX (65535u - DINV_USERNET_IPV4_SIZE)
#define HEADERS  (DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE)

typedef struct {
    bool used;
    uint64_t begun; /* order */
    uint32_t source, destination;
    uint16_t id;
    uint8_t protocol;
    size_t len;     /* of the body */
    uint8_t *frame; /* HEADERS + BODY_MAX, made at the first use */
} Slot;

struct DinvUsernetReassembly {
    uint64_t count;
    Slot slots[DINV_USERNET_REASSEMBLY_SLOTS];
};

DinvUsernetReassembly *dinv_usernet_reassembly_new(void) {
    return calloc(1, sizeof(DinvUsernetReassembly));
}

void dinv_usernet_reassembly_free(DinvUsernetReassembly *reassembly) {
    for (size_t i = 0; reassembly != NULL && i < DINV_USERNET_REASSEMBLY_SLOTS; i++) {
        free(reassembly->slots[i].frame);
    }
    free(reassembly);
}

static Slot *find_slot(DinvUsernetReassembly *reassembly, const DinvUsernetPacket *packet) {
    for (size_t i = 0; i < DINV_USERNET_REASSEMBLY_SLOTS; i++) {
        Slot *slot = &reassembly->slots[i];
        if (slot->used && slot->source == packet->source &&
            slot->destination == packet->destination && slot->id == packet->id &&
            slot->protocol == packet->protocol) {
            return slot;
        }
    }
    return NULL;
}

/* One that is not used, else the one that was begun first. */
static Slot *free_slot(DinvUsernetReassembly *reassembly) {
    Slot *oldest = &reassembly->slots[0];
    for (size_t i = 0; i < DINV_USERNET_REASSEMBLY_SLOTS; i++) {
        Slot *slot = &reassembly->slots[i];
        if (!slot->used) {
            return slot;
        }
        if (slot->begun < oldest->begun) {
            oldest = slot;
        }
    }
    return oldest;
}

static void begin(DinvUsernetReassembly *reassembly, Slot *slot, const DinvUsernetPacket *packet) {
    if (slot == NULL) {
        slot = free_slot(reassembly);
    }
    slot->used = false;
    if (slot->frame == NULL) {
        slot->frame = malloc(HEADERS + BODY_MAX);
    }
    if (slot->frame == NULL || packet->body_len > BODY_MAX || packet->body_len % 8 != 0) {
        return;
    }
    *slot = (Slot){
        .used = true,
        .begun = ++reassembly->count,
        .source = packet->source,
        .destination = packet->destination,
        .id = packet->id,
        .protocol = packet->protocol,
        .len = packet->body_len,
        .frame = slot->frame,
    };
    memcpy(slot->frame + HEADERS, packet->body, packet->body_len);
}

/* The headers of the whole, from its last fragment. */
static const uint8_t *finish(Slot *slot, const DinvUsernetPacket *packet, size_t *len) {
    DinvUsernetHeader header = {
        .source_mac = packet->source_mac,
        .destination_mac = packet->source_mac - 6,
        .source = packet->source,
        .destination = packet->destination,
        .protocol = packet->protocol,
        .id = packet->id,
    };
    dinv_usernet_header_write(slot->frame, &header, slot->len);
    slot->used = false;
    *len = HEADERS + slot->len;
    return slot->frame;
}

const uint8_t *dinv_usernet_reassembly_add(DinvUsernetReassembly *reassembly,
                                           const DinvUsernetPacket *packet, size_t *len) {
    Slot *slot = find_slot(reassembly, packet);
    if (packet->fragment_offset == 0) {
        begin(reassembly, slot, packet);
        return NULL;
    }
    if (slot == NULL) {
        return NULL;
    }
    if (packet->fragment_offset != slot->len || packet->body_len > BODY_MAX - slot->len ||
        (packet->more_fragments && packet->body_len % 8 != 0)) {
        slot->used = false;
        return NULL;
    }
    memcpy(slot->frame + HEADERS + slot->len, packet->body, packet->body_len);
    slot->len += packet->body_len;
    return packet->more_fragments ? NULL : finish(slot, packet, len);
}

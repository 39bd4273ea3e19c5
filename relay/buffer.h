/* SPDX-License-Identifier: MIT */
/*
 * buffer: the memory of a mux. A heap that counts what it gives out, and byte queues made of
 * fixed-size chunks that all streams of a mux share: an empty queue holds no chunk, and chunks that
 * come back are kept for the next user, so that a mux in steady state allocates nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DINV_RELAY_CHUNK_SIZE 32768u

typedef struct DinvRelayChunk DinvRelayChunk;

/* Zero-initialise. */
typedef struct {
    size_t memory;        /* bytes given out, chunks in stock included */
    uint64_t allocations; /* since the beginning */
    DinvRelayChunk *stock;
    size_t stock_count;
    size_t used_count; /* chunks in queues */
} DinvRelayHeap;

/* Zeroed memory, or NULL. */
void *dinv_relay_heap_alloc(DinvRelayHeap *heap, size_t size);
/* `size` as it was asked for; NULL is ignored. */
void dinv_relay_heap_free(DinvRelayHeap *heap, void *memory, size_t size);
/* Frees the chunks in stock. */
void dinv_relay_heap_clear(DinvRelayHeap *heap);

/* Zero-initialise. */
typedef struct {
    DinvRelayChunk *head;
    DinvRelayChunk *tail;
    size_t len;
    const uint8_t *lent; /* in place of chunks: bytes of somebody else's, see lend */
} DinvRelayQueue;

/* Copies `len` bytes to the end; returns how many, fewer only when out of memory. */
size_t dinv_relay_queue_append(DinvRelayQueue *queue, DinvRelayHeap *heap, const uint8_t *bytes,
                               size_t len);
/* Puts bytes into an empty queue without a copy: they stay the caller's, who takes back what has
 * not been consumed with dinv_relay_queue_keep() before they go, and appends nothing in between. */
void dinv_relay_queue_lend(DinvRelayQueue *queue, const uint8_t *bytes, size_t len);
/* Copies what is left of lent bytes; nothing to do when none are. False when out of memory: the
 * queue is then empty. */
bool dinv_relay_queue_keep(DinvRelayQueue *queue, DinvRelayHeap *heap);
/* The first bytes, as far as they are contiguous; 0 if the queue is empty. */
size_t dinv_relay_queue_peek(const DinvRelayQueue *queue, const uint8_t **bytes);
/* Drops up to `len` bytes from the front; returns how many. */
size_t dinv_relay_queue_consume(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t len);
/* Moves up to `len` bytes from the front to `bytes`; returns how many. */
size_t dinv_relay_queue_take(DinvRelayQueue *queue, DinvRelayHeap *heap, uint8_t *bytes,
                             size_t len);
void dinv_relay_queue_clear(DinvRelayQueue *queue, DinvRelayHeap *heap);

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

/* Room in front of a chunk's bytes for the header of the frame in which it leaves; with it a full
 * chunk is 32 KiB, the most that the guest's virtio port takes in one write. */
#define DINV_RELAY_HEADROOM   8u
#define DINV_RELAY_CHUNK_SIZE (32768u - DINV_RELAY_HEADROOM)

typedef struct DinvRelayChunk DinvRelayChunk;

/* Zero-initialise. */
typedef struct {
    size_t memory;        /* bytes given out, chunks in stock included */
    uint64_t allocations; /* since the beginning */
    DinvRelayChunk *stock;
    size_t stock_count;
    size_t used_count;        /* chunks in queues, detached or reserved */
    DinvRelayChunk *reserved; /* what reserve showed, and nobody has filled yet */
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
/* Room to put bytes at the end without a copy: returns its length (> 0), or 0 when out of memory.
 * *bytes is valid until the next call on a queue of this heap. */
size_t dinv_relay_queue_reserve(DinvRelayQueue *queue, DinvRelayHeap *heap, uint8_t **bytes);
/* The first `len` bytes of what was just reserved are now those of the queue. */
void dinv_relay_queue_commit(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t len);
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
/* Takes the first chunk out, without a copy if it holds no more than `most` bytes (> 0); of a
 * longer one, a copy of the first `most`. The queue must not be empty, nor its bytes lent. The
 * chunk is the caller's, for dinv_relay_chunk_return(). NULL when out of memory. */
DinvRelayChunk *dinv_relay_queue_detach(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t most);
/* How many bytes the first chunk of a queue holds. */
size_t dinv_relay_queue_first_len(const DinvRelayQueue *queue);
void dinv_relay_queue_clear(DinvRelayQueue *queue, DinvRelayHeap *heap);

/* The headroom of a chunk; its bytes, *len of them, follow behind. */
uint8_t *dinv_relay_chunk_headroom(DinvRelayChunk *chunk, size_t *len);
void dinv_relay_chunk_return(DinvRelayHeap *heap, DinvRelayChunk *chunk);

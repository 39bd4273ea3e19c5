/* SPDX-License-Identifier: MIT */
/* buffer: chunks, their stock, and queues of them, see buffer.h. */
#include "relay/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rather than show less room than this at the end of a chunk, reserve takes the next one. */
#define RESERVE_MIN 8192u
/* Chunks kept in stock beyond as many as are in use: 2 MiB. */
#define STOCK_MAX 64u

struct DinvRelayChunk {
    DinvRelayChunk *next;
    uint32_t start; /* of the bytes it holds, behind the headroom */
    uint32_t end;
    uint8_t memory[DINV_RELAY_HEADROOM + DINV_RELAY_CHUNK_SIZE];
};

static uint8_t *chunk_bytes(DinvRelayChunk *chunk, size_t offset) {
    return chunk->memory + DINV_RELAY_HEADROOM + offset;
}

static size_t chunk_room(const DinvRelayChunk *chunk) {
    return chunk != NULL ? DINV_RELAY_CHUNK_SIZE - chunk->end : 0;
}

void *dinv_relay_heap_alloc(DinvRelayHeap *heap, size_t size) {
    void *memory = calloc(1, size);
    if (memory != NULL) {
        heap->memory += size;
        heap->allocations++;
    }
    return memory;
}

void dinv_relay_heap_free(DinvRelayHeap *heap, void *memory, size_t size) {
    if (memory != NULL) {
        heap->memory -= size;
        free(memory);
    }
}

void dinv_relay_heap_clear(DinvRelayHeap *heap) {
    if (heap->reserved != NULL) {
        dinv_relay_chunk_return(heap, heap->reserved);
        heap->reserved = NULL;
    }
    while (heap->stock != NULL) {
        DinvRelayChunk *chunk = heap->stock;
        heap->stock = chunk->next;
        heap->memory -= sizeof(*chunk);
        free(chunk);
    }
    heap->stock_count = 0;
}

static DinvRelayChunk *chunk_take(DinvRelayHeap *heap) {
    DinvRelayChunk *chunk = heap->stock;
    if (chunk != NULL) {
        heap->stock = chunk->next;
        heap->stock_count--;
    } else {
        chunk = malloc(sizeof(*chunk)); /* not zeroed: pages are touched when they are used */
        if (chunk == NULL) {
            return NULL;
        }
        heap->memory += sizeof(*chunk);
        heap->allocations++;
    }
    heap->used_count++;
    chunk->next = NULL;
    chunk->start = 0;
    chunk->end = 0;
    return chunk;
}

void dinv_relay_chunk_return(DinvRelayHeap *heap, DinvRelayChunk *chunk) {
    heap->used_count--;
    if (heap->stock_count < STOCK_MAX + heap->used_count) {
        chunk->next = heap->stock;
        heap->stock = chunk;
        heap->stock_count++;
        return;
    }
    heap->memory -= sizeof(*chunk);
    free(chunk);
    /* What a burst left behind goes back little by little. */
    if (heap->stock_count > STOCK_MAX + heap->used_count) {
        chunk = heap->stock;
        heap->stock = chunk->next;
        heap->stock_count--;
        heap->memory -= sizeof(*chunk);
        free(chunk);
    }
}

static void append_chunk(DinvRelayQueue *queue, DinvRelayChunk *chunk) {
    if (queue->tail == NULL) {
        queue->head = chunk;
    } else {
        queue->tail->next = chunk;
    }
    queue->tail = chunk;
}

static DinvRelayChunk *remove_first(DinvRelayQueue *queue) {
    DinvRelayChunk *chunk = queue->head;
    queue->head = chunk->next;
    if (queue->head == NULL) {
        queue->tail = NULL;
    }
    chunk->next = NULL;
    return chunk;
}

size_t dinv_relay_queue_append(DinvRelayQueue *queue, DinvRelayHeap *heap, const uint8_t *bytes,
                               size_t len) {
    size_t done = 0;
    while (done < len) {
        size_t room = chunk_room(queue->tail);
        if (room == 0) {
            DinvRelayChunk *fresh = chunk_take(heap);
            if (fresh == NULL) {
                break;
            }
            append_chunk(queue, fresh);
            room = chunk_room(fresh);
        }
        DinvRelayChunk *chunk = queue->tail;
        size_t part = len - done < room ? len - done : room;
        memcpy(chunk_bytes(chunk, chunk->end), bytes + done, part);
        chunk->end += (uint32_t)part;
        done += part;
    }
    queue->len += done;
    return done;
}

size_t dinv_relay_queue_reserve(DinvRelayQueue *queue, DinvRelayHeap *heap, uint8_t **bytes) {
    DinvRelayChunk *chunk = queue->tail;
    if (chunk_room(chunk) < RESERVE_MIN) {
        if (heap->reserved == NULL) {
            heap->reserved = chunk_take(heap);
        }
        chunk = heap->reserved;
        if (chunk == NULL) {
            return 0;
        }
    }
    *bytes = chunk_bytes(chunk, chunk->end);
    return chunk_room(chunk);
}

void dinv_relay_queue_commit(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t len) {
    if (len == 0) {
        return;
    }
    if (chunk_room(queue->tail) < RESERVE_MIN) { /* as reserve found it */
        append_chunk(queue, heap->reserved);
        heap->reserved = NULL;
    }
    assert(len <= chunk_room(queue->tail));
    queue->tail->end += (uint32_t)len;
    queue->len += len;
}

void dinv_relay_queue_lend(DinvRelayQueue *queue, const uint8_t *bytes, size_t len) {
    assert(queue->len == 0);
    queue->lent = bytes;
    queue->len = len;
}

bool dinv_relay_queue_keep(DinvRelayQueue *queue, DinvRelayHeap *heap) {
    const uint8_t *bytes = queue->lent;
    size_t len = queue->len;
    if (bytes == NULL) {
        return true;
    }
    queue->lent = NULL;
    queue->len = 0;
    if (dinv_relay_queue_append(queue, heap, bytes, len) == len) {
        return true;
    }
    dinv_relay_queue_clear(queue, heap);
    return false;
}

size_t dinv_relay_queue_peek(const DinvRelayQueue *queue, const uint8_t **bytes) {
    if (queue->lent != NULL) {
        *bytes = queue->lent;
        return queue->len;
    }
    const DinvRelayChunk *chunk = queue->head;
    if (chunk == NULL) {
        return 0;
    }
    *bytes = chunk->memory + DINV_RELAY_HEADROOM + chunk->start;
    return chunk->end - chunk->start;
}

size_t dinv_relay_queue_consume(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t len) {
    size_t done = 0;
    if (queue->lent != NULL) {
        done = len < queue->len ? len : queue->len;
        queue->len -= done;
        queue->lent = queue->len > 0 ? queue->lent + done : NULL;
        return done;
    }
    while (done < len && queue->head != NULL) {
        DinvRelayChunk *chunk = queue->head;
        size_t held = chunk->end - chunk->start;
        if (held > len - done) {
            chunk->start += (uint32_t)(len - done);
            done = len;
            break;
        }
        done += held;
        dinv_relay_chunk_return(heap, remove_first(queue));
    }
    queue->len -= done;
    return done;
}

size_t dinv_relay_queue_take(DinvRelayQueue *queue, DinvRelayHeap *heap, uint8_t *bytes,
                             size_t len) {
    size_t done = 0;
    while (done < len) {
        const uint8_t *from;
        size_t part = dinv_relay_queue_peek(queue, &from);
        if (part == 0) {
            break;
        }
        part = part < len - done ? part : len - done;
        memcpy(bytes + done, from, part);
        dinv_relay_queue_consume(queue, heap, part);
        done += part;
    }
    return done;
}

size_t dinv_relay_queue_first_len(const DinvRelayQueue *queue) {
    return queue->head != NULL ? queue->head->end - queue->head->start : 0;
}

DinvRelayChunk *dinv_relay_queue_detach(DinvRelayQueue *queue, DinvRelayHeap *heap, size_t most) {
    size_t held = dinv_relay_queue_first_len(queue);
    if (held <= most) {
        queue->len -= held;
        return remove_first(queue);
    }
    DinvRelayChunk *chunk = chunk_take(heap);
    if (chunk != NULL) {
        chunk->end = (uint32_t)dinv_relay_queue_take(queue, heap, chunk_bytes(chunk, 0), most);
    }
    return chunk;
}

uint8_t *dinv_relay_chunk_headroom(DinvRelayChunk *chunk, size_t *len) {
    *len = chunk->end - chunk->start;
    return chunk->memory + chunk->start;
}

void dinv_relay_queue_clear(DinvRelayQueue *queue, DinvRelayHeap *heap) {
    dinv_relay_queue_consume(queue, heap, queue->len);
}

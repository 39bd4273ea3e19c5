/* SPDX-License-Identifier: MIT */
#include "relay/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Chunks kept in stock beyond as many as are in use: 2 MiB. */
#define STOCK_MAX 64u

struct DinvRelayChunk {
    DinvRelayChunk *next;
    uint32_t start;
    uint32_t end;
    uint8_t bytes[DINV_RELAY_CHUNK_SIZE];
};

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

static void chunk_return(DinvRelayHeap *heap, DinvRelayChunk *chunk) {
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

size_t dinv_relay_queue_append(DinvRelayQueue *queue, DinvRelayHeap *heap, const uint8_t *bytes,
                               size_t len) {
    size_t done = 0;
    while (done < len) {
        DinvRelayChunk *chunk = queue->tail;
        if (chunk == NULL || chunk->end == DINV_RELAY_CHUNK_SIZE) {
            DinvRelayChunk *fresh = chunk_take(heap);
            if (fresh == NULL) {
                break;
            }
            if (chunk == NULL) {
                queue->head = fresh;
            } else {
                chunk->next = fresh;
            }
            queue->tail = chunk = fresh;
        }
        size_t room = DINV_RELAY_CHUNK_SIZE - chunk->end;
        size_t part = len - done < room ? len - done : room;
        memcpy(chunk->bytes + chunk->end, bytes + done, part);
        chunk->end += (uint32_t)part;
        done += part;
    }
    queue->len += done;
    return done;
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
    *bytes = chunk->bytes + chunk->start;
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
        queue->head = chunk->next;
        if (queue->head == NULL) {
            queue->tail = NULL;
        }
        chunk_return(heap, chunk);
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

void dinv_relay_queue_clear(DinvRelayQueue *queue, DinvRelayHeap *heap) {
    dinv_relay_queue_consume(queue, heap, queue->len);
}

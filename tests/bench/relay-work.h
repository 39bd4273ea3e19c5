/* SPDX-License-Identifier: MIT */
/*
 * relay-work: what relay-bench asks of relay-guest. The same work goes over a raw virtio-serial
 * port and over streams of the relay:
 *
 * - sink: the guest takes bytes, and at their end answers with their number (8 bytes, big-endian);
 * - source: the guest sends as many bytes as it is asked for.
 *
 * Over the raw port a piece of work begins with a request of 9 bytes: the letter, and the number of
 * bytes (8, big-endian); before the first the guest says with one byte that it listens on both
 * ports. Over the relay these are the services `sink`, which counts up to the end of the stream,
 * and `source`, whose argument is the number.
 */
#pragma once

#include <stdint.h>

#define BENCH_RAW_PORT   "bench.raw"
#define BENCH_RELAY_PORT "dinv.relay"

enum { BENCH_NUMBER_SIZE = 8, BENCH_REQUEST_SIZE = 9 };
enum { BENCH_READY = 'R', BENCH_SINK = 'S', BENCH_SOURCE = 'G' };

/* The sizes in which both sides read and write, the same for the raw port and the relay: those of
 * launcher/vm/relay.c and guest/services/relay.c. */
enum { BENCH_HOST_BUFFER = 128 * 1024, BENCH_GUEST_BUFFER = 64 * 1024 };

static inline void bench_put_number(uint8_t out[static BENCH_NUMBER_SIZE], uint64_t value) {
    for (int index = 0; index < BENCH_NUMBER_SIZE; index++) {
        out[index] = (uint8_t)(value >> (56 - 8 * index));
    }
}

static inline uint64_t bench_get_number(const uint8_t in[static BENCH_NUMBER_SIZE]) {
    uint64_t value = 0;
    for (int index = 0; index < BENCH_NUMBER_SIZE; index++) {
        value = value << 8 | in[index];
    }
    return value;
}

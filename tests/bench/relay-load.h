/* SPDX-License-Identifier: MIT */
/*
 * relay-load: moves bytes over many streams of the relay at once and takes the time. Blocks; the
 * descriptor is the host's end of the guest's relay port.
 */
#pragma once

#include <stdint.h>

typedef struct BenchLoad BenchLoad;

/* Borrows `fd`, a nonblocking stream socket. NULL if out of memory. */
BenchLoad *bench_load_new(int fd);
void bench_load_free(BenchLoad *load);

/* Moves `bytes` in all, shared out evenly over `streams` that are open at the same time: `kind` is
 * BENCH_SINK (to the guest) or BENCH_SOURCE (from it). *seconds is from the first open to the end
 * of the last stream. 0, -ETIMEDOUT when nothing moved for a minute, -EPROTO when a number of bytes
 * is wrong or the relay broke, or another -errno. */
int bench_load_run(BenchLoad *load, char kind, unsigned streams, uint64_t bytes, double *seconds);

/* CLOCK_MONOTONIC. */
double bench_now(void);

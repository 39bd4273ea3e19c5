/* SPDX-License-Identifier: MIT */
/* Measures the time stamp counter of x86 against the clock. */
#include "launcher/host/tsc.h"

#ifdef __x86_64__

#include <time.h>
#include <x86intrin.h>

#define MEASURE_NANOSECONDS 20000000L
#define TRIES               8
#define KHZ_MINIMUM         100000u
#define KHZ_MAXIMUM         20000000u

typedef struct {
    guint64 ticks;
    guint64 nanoseconds;
} Sample;

static guint64 read_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (guint64)now.tv_sec * G_GUINT64_CONSTANT(1000000000) + (guint64)now.tv_nsec;
}

/* Counter and clock of one moment: the tightest of some tries, since this process may be
 * interrupted between the two readings. */
static Sample take_sample(void) {
    Sample best = {0};
    guint64 best_width = G_MAXUINT64;
    for (int i = 0; i < TRIES; i++) {
        guint64 before = read_clock();
        guint64 ticks = __rdtsc();
        guint64 after = read_clock();
        if (after - before < best_width) {
            best_width = after - before;
            best = (Sample){.ticks = ticks, .nanoseconds = before + (after - before) / 2};
        }
    }
    return best;
}

guint dinv_host_tsc_measure_khz(void) {
    const struct timespec pause = {.tv_nsec = MEASURE_NANOSECONDS};
    Sample first = take_sample();
    (void)nanosleep(&pause, NULL); /* how long it really was is measured */
    Sample last = take_sample();
    guint64 nanoseconds = last.nanoseconds - first.nanoseconds;
    if (nanoseconds < (guint64)MEASURE_NANOSECONDS / 4 || last.ticks <= first.ticks) {
        return 0;
    }
    gdouble khz = (gdouble)(last.ticks - first.ticks) * 1e6 / (gdouble)nanoseconds;
    return khz < KHZ_MINIMUM || khz > KHZ_MAXIMUM ? 0 : (guint)(khz + 0.5);
}

#else

guint dinv_host_tsc_measure_khz(void) {
    return 0;
}

#endif

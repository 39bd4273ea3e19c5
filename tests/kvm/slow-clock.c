/* SPDX-License-Identifier: MIT */
/*
 * A clock that goes slower, for a QEMU that emulates a machine: preloaded into it, this divides the
 * time that passes by SLOW_CLOCK_FACTOR and multiplies the time that it waits.
 *
 * An emulated CPU does a fraction of the work of a real one, but its timer interrupts come as often
 * as there, and where a guest runs on it each of them is several exits, after every one of which
 * the emulation has to look up all its addresses anew: most of the time goes there. With a slower
 * clock the emulated machine seems faster to itself; there are as many fewer interrupts for the
 * same work, and every deadline in it is as much longer here.
 *
 * QEMU's virtual clock is CLOCK_MONOTONIC, its timers are the timeouts of ppoll(). The emulated TSC
 * is the real one, which Linux measures by the virtual clock, and so finds it that much faster.
 */
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S   INT64_C(1000000000)
#define MAX_FACTOR 100

typedef int ClockGettime(clockid_t, struct timespec *);
typedef int Ppoll(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);

static ClockGettime *real_clock_gettime;
static Ppoll *real_ppoll;
static int64_t factor = 1;
static int64_t begin; /* ns; both clocks have this time at the start */

static int64_t to_ns(const struct timespec *time) {
    return time->tv_sec * NS_PER_S + time->tv_nsec;
}

static struct timespec from_ns(int64_t ns) {
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

/* Another library's constructor may ask for the time before ours has run. */
static void set_up(void) {
    if (real_clock_gettime != NULL) {
        return;
    }
    *(void **)&real_ppoll = dlsym(RTLD_NEXT, "ppoll");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *text = getenv("SLOW_CLOCK_FACTOR");
    long number = text == NULL ? 0 : strtol(text, NULL, 10);
    struct timespec now;
    if (real_ppoll == NULL || real_clock_gettime == NULL || number < 1 || number > MAX_FACTOR ||
        real_clock_gettime(CLOCK_MONOTONIC, &now) < 0) {
        abort();
    }
    begin = to_ns(&now);
    factor = number;
}

__attribute__((constructor)) static void slow_clock_constructor(void) {
    set_up();
}

/* Their own names for the parameters are those of the C library alone. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int clock_gettime(clockid_t clock, struct timespec *time) {
    set_up();
    int result = real_clock_gettime(clock, time);
    if (result == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW)) {
        *time = from_ns(begin + (to_ns(time) - begin) / factor);
    }
    return result;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int ppoll(struct pollfd *items, nfds_t count, const struct timespec *timeout,
          const sigset_t *mask) {
    set_up();
    if (timeout == NULL) {
        return real_ppoll(items, count, NULL, mask);
    }
    struct timespec longer = from_ns(to_ns(timeout) * factor);
    return real_ppoll(items, count, &longer, mask);
}

/* SPDX-License-Identifier: MIT */
/*
 * loop: the one event loop of the guest agent: descriptors (epoll, level-triggered), one-shot
 * timers, and children. Single-threaded; callbacks run only from within dinv_loop_iterate(), _run()
 * and _reap(), and may call everything here except those three and dinv_loop_free().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct DinvLoop DinvLoop;
typedef struct DinvTimer DinvTimer;

typedef void (*DinvLoopFdCallback)(void *user, int fd, short revents);
typedef void (*DinvLoopChildCallback)(void *user, pid_t pid, int wait_status);
typedef void (*DinvTimerCallback)(void *user);

/* NULL if out of memory or descriptors. */
DinvLoop *dinv_loop_new(void);
void dinv_loop_free(DinvLoop *loop);

/* Calls back whenever `fd` is ready for `events` (POLLIN | POLLOUT), or has POLLERR or POLLHUP,
 * which cannot be masked (0 waits for these alone). A second call replaces the first. The
 * descriptor stays the caller's, who unwatches it before, or at the latest right after, closing. */
int dinv_loop_watch(DinvLoop *loop, int fd, short events, DinvLoopFdCallback callback, void *user);
/* No callback comes for `fd` any more, not even one already pending. Unknown fds are fine. */
void dinv_loop_unwatch(DinvLoop *loop, int fd);

/* A timer, not yet running. NULL if out of memory. To be freed before the loop. */
DinvTimer *dinv_timer_new(DinvLoop *loop, DinvTimerCallback callback, void *user);
void dinv_timer_free(DinvTimer *timer);
/* Runs the callback once in `milliseconds` from now, replacing an earlier setting. 0 means in this
 * round of the loop, after the descriptors: the way to gather work that several of them cause. Set
 * from within a timer callback it means the next round. */
void dinv_timer_set(DinvTimer *timer, uint64_t milliseconds);
void dinv_timer_cancel(DinvTimer *timer);
bool dinv_timer_is_set(const DinvTimer *timer);

/* Calls back once when dinv_loop_reap() has collected `pid`. 0 or -ENOMEM. */
int dinv_loop_watch_child(DinvLoop *loop, pid_t pid, DinvLoopChildCallback callback, void *user);
/* No callback comes for it any more; it is collected all the same. */
void dinv_loop_unwatch_child(DinvLoop *loop, pid_t pid);
/* Collects every child that has ended, ours by adoption too. To be called upon SIGCHLD. Returns
 * whether any child, running or not, is left. */
bool dinv_loop_reap(DinvLoop *loop);

/* One round: waits for at most `max_ms` (-1: without limit), runs what is due. 0 or -errno. */
int dinv_loop_iterate(DinvLoop *loop, int max_ms);
/* Rounds until one fails, whose -errno it returns. */
int dinv_loop_run(DinvLoop *loop);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t dinv_now_ms(void);
/* Microseconds of CLOCK_BOOTTIME, which also counts while the machine is suspended. */
uint64_t dinv_boottime_us(void);

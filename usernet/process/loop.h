/* SPDX-License-Identifier: MIT */
/*
 * loop: one epoll set for the machine's and the launcher's sockets ("inside"), and in it a second
 * one for all sockets of the outer container's network ("outside"). While the machine does not
 * take its frames the second set is not looked at, whatever is ready in it.
 *
 * libslirp says anew in every turn which of its sockets it wants and for what; that is compared
 * with what the kernel knows, so that a turn in which nothing changes costs no system call a
 * socket.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct DinvUsernetLoop DinvUsernetLoop;

/* `events` as epoll_wait(2) gives them. It may watch and forget any descriptor. */
typedef void (*DinvUsernetReady)(void *opaque, uint32_t events);

typedef enum { DINV_USERNET_INSIDE, DINV_USERNET_OUTSIDE } DinvUsernetSide;

/* NULL, with errno, if there is no memory or no descriptor left. */
DinvUsernetLoop *dinv_usernet_loop_new(void);
void dinv_usernet_loop_free(DinvUsernetLoop *loop);

/* Calls `ready` whenever one of `events` is there, or changes what was said before of this
 * descriptor, which is borrowed until it is forgotten. No events: it is kept, and not looked at.
 * 0 or a negative errno. */
int dinv_usernet_loop_watch(DinvUsernetLoop *loop, int fd, DinvUsernetSide side, uint32_t events,
                            DinvUsernetReady ready, void *opaque);
/* To be called before a descriptor is closed; harmless for one that is not known, or negative. */
void dinv_usernet_loop_forget(DinvUsernetLoop *loop, int fd);

/* For the sockets of libslirp: begins a turn, in which none of them is wanted yet. */
void dinv_usernet_loop_begin(DinvUsernetLoop *loop);
/* A socket is wanted in this turn for these events (EPOLLIN, EPOLLOUT, EPOLLPRI). */
void dinv_usernet_loop_want(DinvUsernetLoop *loop, int fd, uint32_t events);
/* Whether it was, in this turn, for one of `events`. */
bool dinv_usernet_loop_is_wanted(const DinvUsernetLoop *loop, int fd, uint32_t events);
/* Which of the events that it is wanted for dinv_usernet_loop_wait() has seen in this turn. An
 * error or a hang-up is an EPOLLIN for one that is wanted for reading and else an EPOLLOUT:
 * libslirp must not be made to read into a full buffer. */
uint32_t dinv_usernet_loop_seen(const DinvUsernetLoop *loop, int fd);

/* Waits for events, at most `timeout` milliseconds, -1 for ever, and calls back. Without `outside`
 * only for those of the inside. A signal ends the wait. */
void dinv_usernet_loop_wait(DinvUsernetLoop *loop, int timeout, bool outside);

/* CLOCK_MONOTONIC. */
int64_t dinv_usernet_now_ns(void);

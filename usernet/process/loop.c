/* SPDX-License-Identifier: MIT */
/* The two epoll sets, and what is known of each descriptor in them. */
#include "usernet/process/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define INSIDE_EVENTS  16
#define OUTSIDE_EVENTS 512
#define ENTRIES_MIN    64

typedef struct {
    uint32_t registered; /* events that the kernel looks for; 0: not in the set */
    uint32_t wanted;     /* by libslirp, if `turn` is this turn */
    uint32_t seen;       /* likewise */
    uint32_t turn;
    uint32_t seen_turn;
    DinvUsernetSide side;
    DinvUsernetReady ready; /* NULL for a socket of libslirp */
    void *opaque;
} Entry;

struct DinvUsernetLoop {
    int sets[2]; /* by DinvUsernetSide */
    bool outside_watched;
    uint32_t turn;
    Entry *entries; /* by descriptor */
    size_t count;
};

int64_t dinv_usernet_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The outer set learns whether it is to look at the other; the level of what is ready in that one
 * stays as it is. */
static int watch_outside(DinvUsernetLoop *loop, bool on) {
    if (loop->outside_watched == on) {
        return 0;
    }
    struct epoll_event event = {.events = on ? EPOLLIN : 0,
                                .data.fd = loop->sets[DINV_USERNET_OUTSIDE]};
    if (epoll_ctl(loop->sets[DINV_USERNET_INSIDE], EPOLL_CTL_MOD, loop->sets[DINV_USERNET_OUTSIDE],
                  &event) < 0) {
        return -errno;
    }
    loop->outside_watched = on;
    return 0;
}

DinvUsernetLoop *dinv_usernet_loop_new(void) {
    DinvUsernetLoop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return NULL;
    }
    loop->sets[DINV_USERNET_INSIDE] = epoll_create1(EPOLL_CLOEXEC);
    loop->sets[DINV_USERNET_OUTSIDE] = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.data.fd = loop->sets[DINV_USERNET_OUTSIDE]};
    if (loop->sets[DINV_USERNET_INSIDE] < 0 || loop->sets[DINV_USERNET_OUTSIDE] < 0 ||
        epoll_ctl(loop->sets[DINV_USERNET_INSIDE], EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
        int saved = errno;
        dinv_usernet_loop_free(loop);
        errno = saved;
        return NULL;
    }
    loop->turn = 1;
    return loop;
}

void dinv_usernet_loop_free(DinvUsernetLoop *loop) {
    if (loop == NULL) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        if (loop->sets[side] >= 0) {
            (void)close(loop->sets[side]);
        }
    }
    free(loop->entries);
    free(loop);
}

static Entry *find_entry(DinvUsernetLoop *loop, int fd) {
    return fd >= 0 && (size_t)fd < loop->count ? &loop->entries[fd] : NULL;
}

static Entry *make_entry(DinvUsernetLoop *loop, int fd) {
    if (fd >= 0 && (size_t)fd >= loop->count) {
        size_t count = loop->count < ENTRIES_MIN ? ENTRIES_MIN : loop->count * 2;
        while ((size_t)fd >= count) {
            count *= 2;
        }
        Entry *entries = reallocarray(loop->entries, count, sizeof(*entries));
        if (entries == NULL) {
            return NULL;
        }
        memset(entries + loop->count, 0, (count - loop->count) * sizeof(*entries));
        loop->entries = entries;
        loop->count = count;
    }
    return find_entry(loop, fd);
}

/* The kernel's set may know a descriptor that was closed without a word, or lack one that has its
 * number now; its answer says which. */
static int change_set(DinvUsernetLoop *loop, Entry *entry, int fd, uint32_t events) {
    int set = loop->sets[entry->side];
    struct epoll_event event = {.events = events, .data.fd = fd};
    int operation = events == 0              ? EPOLL_CTL_DEL
                    : entry->registered == 0 ? EPOLL_CTL_ADD
                                             : EPOLL_CTL_MOD;
    if (entry->registered == events) {
        return 0;
    }
    int result = epoll_ctl(set, operation, fd, &event);
    if (result < 0 && operation == EPOLL_CTL_ADD && errno == EEXIST) {
        result = epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
    } else if (result < 0 && operation == EPOLL_CTL_MOD && errno == ENOENT) {
        result = epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    } else if (operation == EPOLL_CTL_DEL) {
        result = 0;
    }
    if (result < 0) {
        return -errno;
    }
    entry->registered = events;
    return 0;
}

int dinv_usernet_loop_watch(DinvUsernetLoop *loop, int fd, DinvUsernetSide side, uint32_t events,
                            DinvUsernetReady ready, void *opaque) {
    Entry *entry = make_entry(loop, fd);
    if (entry == NULL) {
        return fd < 0 ? -EBADF : -ENOMEM;
    }
    entry->side = side;
    entry->ready = ready;
    entry->opaque = opaque;
    return change_set(loop, entry, fd, events);
}

void dinv_usernet_loop_forget(DinvUsernetLoop *loop, int fd) {
    Entry *entry = find_entry(loop, fd);
    if (entry != NULL) {
        (void)change_set(loop, entry, fd, 0);
        memset(entry, 0, sizeof(*entry));
    }
}

void dinv_usernet_loop_begin(DinvUsernetLoop *loop) {
    loop->turn++;
}

/* Events that are not wanted any more stay registered until one of them comes: most sockets want
 * them again in the next turn. */
void dinv_usernet_loop_want(DinvUsernetLoop *loop, int fd, uint32_t events) {
    Entry *entry = make_entry(loop, fd);
    if (entry == NULL || entry->ready != NULL) {
        return;
    }
    entry->side = DINV_USERNET_OUTSIDE;
    entry->turn = loop->turn;
    entry->wanted = events;
    if ((entry->registered & events) != events) {
        (void)change_set(loop, entry, fd, entry->registered | events);
    }
}

bool dinv_usernet_loop_is_wanted(const DinvUsernetLoop *loop, int fd, uint32_t events) {
    return fd >= 0 && (size_t)fd < loop->count && loop->entries[fd].turn == loop->turn &&
           (loop->entries[fd].wanted & events) != 0;
}

uint32_t dinv_usernet_loop_seen(const DinvUsernetLoop *loop, int fd) {
    if (fd < 0 || (size_t)fd >= loop->count || loop->entries[fd].seen_turn != loop->turn) {
        return 0;
    }
    const Entry *entry = &loop->entries[fd];
    uint32_t seen = entry->seen;
    if ((seen & (EPOLLERR | EPOLLHUP)) != 0) {
        seen |= (entry->wanted & EPOLLIN) != 0 ? EPOLLIN : EPOLLOUT;
    }
    return seen & entry->wanted;
}

static void note_seen(DinvUsernetLoop *loop, Entry *entry, int fd, uint32_t events) {
    uint32_t wanted = entry->turn == loop->turn ? entry->wanted : 0;
    bool is_error = (events & (EPOLLERR | EPOLLHUP)) != 0;
    if ((events & wanted) == 0 && !(is_error && wanted != 0)) {
        (void)change_set(loop, entry, fd, wanted);
        return;
    }
    entry->seen = events;
    entry->seen_turn = loop->turn;
}

static void take_event(DinvUsernetLoop *loop, const struct epoll_event *event) {
    Entry *entry = find_entry(loop, event->data.fd);
    if (entry == NULL) {
        return;
    }
    if (entry->ready != NULL) {
        entry->ready(entry->opaque, event->events);
    } else if (entry->registered != 0) {
        note_seen(loop, entry, event->data.fd, event->events);
    }
}

static void take_outside(DinvUsernetLoop *loop) {
    struct epoll_event events[OUTSIDE_EVENTS];
    int count = epoll_wait(loop->sets[DINV_USERNET_OUTSIDE], events, OUTSIDE_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        take_event(loop, &events[i]);
    }
}

void dinv_usernet_loop_wait(DinvUsernetLoop *loop, int timeout, bool outside) {
    struct epoll_event events[INSIDE_EVENTS];
    (void)watch_outside(loop, outside);
    int count = epoll_wait(loop->sets[DINV_USERNET_INSIDE], events, INSIDE_EVENTS, timeout);
    bool outside_ready = false;
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == loop->sets[DINV_USERNET_OUTSIDE]) {
            outside_ready = true;
        } else {
            take_event(loop, &events[i]);
        }
    }
    if (outside_ready && outside) {
        take_outside(loop);
    }
}

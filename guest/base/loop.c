/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Watches live in a table indexed by descriptor. Each has a generation, which
 * travels in the epoll event: when a callback closes a descriptor and another takes its number in
 * the same round, the event that still waits in the batch carries the old generation and is
 * dropped. Timers are an unordered list; there are a handful, a scan is cheaper than a heap. A
 * timer set from within a timer callback belongs to the next round, so that two timers which set
 * each other to 0 cannot keep descriptors from being served.
 */
#include "guest/base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_A_ROUND = 64 };

typedef struct {
    DinvLoopFdCallback callback; /* NULL: not watched */
    void *user;
    uint32_t generation;
    short events;
} Watch;

typedef struct {
    pid_t pid;
    DinvLoopChildCallback callback;
    void *user;
} Child;

struct DinvTimer {
    DinvLoop *loop;
    DinvTimer *next;
    DinvTimerCallback callback;
    void *user;
    uint64_t due_ms;
    uint64_t round; /* the first round in which it may run */
    bool set;
};

struct DinvLoop {
    int epoll_fd;
    Watch *watches;
    size_t watch_count;
    uint32_t generation;
    DinvTimer *timers;
    uint64_t round;
    bool in_timers;
    Child *children;
    size_t child_count;
};

uint64_t dinv_now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

uint64_t dinv_boottime_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

DinvLoop *dinv_loop_new(void) {
    DinvLoop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return NULL;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

void dinv_loop_free(DinvLoop *loop) {
    if (loop == NULL) {
        return;
    }
    close(loop->epoll_fd);
    free(loop->watches);
    free(loop->children);
    free(loop);
}

static int grow_watches(DinvLoop *loop, size_t count) {
    size_t wanted = loop->watch_count == 0 ? 64 : loop->watch_count;
    while (wanted < count) {
        wanted *= 2;
    }
    Watch *grown = reallocarray(loop->watches, wanted, sizeof *grown);
    if (grown == NULL) {
        return -ENOMEM;
    }
    for (size_t index = loop->watch_count; index < wanted; index++) {
        grown[index] = (Watch){0};
    }
    loop->watches = grown;
    loop->watch_count = wanted;
    return 0;
}

int dinv_loop_watch(DinvLoop *loop, int fd, short events, DinvLoopFdCallback callback, void *user) {
    if (fd < 0 || callback == NULL) {
        return -EINVAL;
    }
    size_t index = (size_t)fd;
    if (index >= loop->watch_count && grow_watches(loop, index + 1) < 0) {
        return -ENOMEM;
    }
    Watch *watch = &loop->watches[index];
    bool known = watch->callback != NULL;
    if (!known || watch->events != events) {
        uint32_t generation = known ? watch->generation : ++loop->generation;
        struct epoll_event event = {
            .events = (uint32_t)(unsigned short)events,
            .data.u64 = ((uint64_t)generation << 32) | (uint32_t)fd,
        };
        if (epoll_ctl(loop->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) {
            return -errno;
        }
        watch->generation = generation;
    }
    watch->callback = callback;
    watch->user = user;
    watch->events = events;
    return 0;
}

void dinv_loop_unwatch(DinvLoop *loop, int fd) {
    if (fd < 0 || (size_t)fd >= loop->watch_count || loop->watches[fd].callback == NULL) {
        return;
    }
    /* EBADF or ENOENT when it has been closed already: closing removed it. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    loop->watches[fd] = (Watch){0};
}

DinvTimer *dinv_timer_new(DinvLoop *loop, DinvTimerCallback callback, void *user) {
    DinvTimer *timer = calloc(1, sizeof *timer);
    if (timer == NULL) {
        return NULL;
    }
    timer->loop = loop;
    timer->callback = callback;
    timer->user = user;
    timer->next = loop->timers;
    loop->timers = timer;
    return timer;
}

void dinv_timer_free(DinvTimer *timer) {
    if (timer == NULL) {
        return;
    }
    DinvTimer **link = &timer->loop->timers;
    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    free(timer);
}

void dinv_timer_set(DinvTimer *timer, uint64_t milliseconds) {
    timer->due_ms = dinv_now_ms() + milliseconds;
    timer->round = timer->loop->round + (timer->loop->in_timers ? 1 : 0);
    timer->set = true;
}

void dinv_timer_cancel(DinvTimer *timer) {
    timer->set = false;
}

bool dinv_timer_is_set(const DinvTimer *timer) {
    return timer->set;
}

int dinv_loop_watch_child(DinvLoop *loop, pid_t pid, DinvLoopChildCallback callback, void *user) {
    Child *grown = reallocarray(loop->children, loop->child_count + 1, sizeof *grown);
    if (grown == NULL) {
        return -ENOMEM;
    }
    loop->children = grown;
    loop->children[loop->child_count++] = (Child){pid, callback, user};
    return 0;
}

void dinv_loop_unwatch_child(DinvLoop *loop, pid_t pid) {
    for (size_t index = 0; index < loop->child_count; index++) {
        if (loop->children[index].pid == pid) {
            loop->children[index] = loop->children[--loop->child_count];
            return;
        }
    }
}

bool dinv_loop_reap(DinvLoop *loop) {
    for (;;) {
        int wait_status;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG);
        if (pid < 0 && errno == EINTR) {
            continue;
        }
        if (pid <= 0) {
            return pid == 0;
        }
        for (size_t index = 0; index < loop->child_count; index++) {
            Child child = loop->children[index];
            if (child.pid == pid) {
                dinv_loop_unwatch_child(loop, pid);
                child.callback(child.user, pid, wait_status);
                break;
            }
        }
    }
}

/* Milliseconds until the next timer is due, at most `max_ms`; -1 without any. */
static int wait_time(const DinvLoop *loop, int max_ms) {
    uint64_t now = dinv_now_ms();
    uint64_t nearest = max_ms < 0 ? UINT64_MAX : (uint64_t)max_ms;
    for (const DinvTimer *timer = loop->timers; timer != NULL; timer = timer->next) {
        if (timer->set) {
            uint64_t left = timer->due_ms > now ? timer->due_ms - now : 0;
            nearest = left < nearest ? left : nearest;
        }
    }
    if (nearest == UINT64_MAX) {
        return -1;
    }
    return nearest > INT32_MAX ? INT32_MAX : (int)nearest;
}

static void run_timers(DinvLoop *loop) {
    uint64_t now = dinv_now_ms();
    loop->in_timers = true;
    for (;;) {
        /* From the start each time: a callback may free any timer. */
        DinvTimer *due = NULL;
        for (DinvTimer *timer = loop->timers; timer != NULL; timer = timer->next) {
            if (timer->set && timer->round <= loop->round && timer->due_ms <= now &&
                (due == NULL || timer->due_ms < due->due_ms)) {
                due = timer;
            }
        }
        if (due == NULL) {
            break;
        }
        due->set = false;
        due->callback(due->user);
    }
    loop->in_timers = false;
}

int dinv_loop_iterate(DinvLoop *loop, int max_ms) {
    struct epoll_event events[EVENTS_A_ROUND];
    loop->round++;
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_ROUND, wait_time(loop, max_ms));
    if (count < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    for (int index = 0; index < count; index++) {
        int fd = (int)(uint32_t)events[index].data.u64;
        const Watch *watch = &loop->watches[fd];
        if (watch->callback != NULL && watch->generation == events[index].data.u64 >> 32) {
            watch->callback(watch->user, fd, (short)events[index].events);
        }
    }
    run_timers(loop);
    return 0;
}

int dinv_loop_run(DinvLoop *loop) {
    int result = 0;
    while (result == 0) {
        result = dinv_loop_iterate(loop, -1);
    }
    return result;
}

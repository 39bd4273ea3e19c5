/* SPDX-License-Identifier: MIT */
/* The socket pair to the machine, and the queue of what it has not taken. */
#include "usernet/process/frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A guest that sends without end gets no more than this many frames handled before the outside and
 * the launcher have their turn. */
#define FRAMES_A_TURN 128
/* With more than this waiting nothing more is read from the machine either: what it sends is
 * answered by frames as well. What one frame of the machine leads to, libslirp's windows bound. */
#define QUEUE_MAX ((size_t)4 << 20)
/* As much as the kernel allows; it cuts this to net.core.wmem_max. */
#define SOCKET_BUFFER (4 << 20)

typedef struct Waiting {
    struct Waiting *next;
    size_t len;
    uint8_t bytes[];
} Waiting;

struct DinvUsernetFrames {
    DinvUsernetLoop *loop;
    int fd;
    DinvUsernetOnFrame on_frame;
    void *opaque;
    Waiting *first;
    Waiting **last;
    size_t queued;
    uint8_t buffer[DINV_USERNET_FRAME_MAX + 1];
};

static void frames_ready(void *opaque, uint32_t events);

static void update_watch(DinvUsernetFrames *frames) {
    uint32_t events = (frames->queued <= QUEUE_MAX ? (uint32_t)EPOLLIN : 0) |
                      (frames->first != NULL ? (uint32_t)EPOLLOUT : 0);
    (void)dinv_usernet_loop_watch(frames->loop, frames->fd, DINV_USERNET_INSIDE, events,
                                  frames_ready, frames);
}

DinvUsernetFrames *dinv_usernet_frames_new(DinvUsernetLoop *loop, int fd,
                                           DinvUsernetOnFrame on_frame, void *opaque) {
    DinvUsernetFrames *frames = calloc(1, sizeof(*frames));
    if (frames == NULL) {
        return NULL;
    }
    *frames = (DinvUsernetFrames){.loop = loop, .fd = fd, .on_frame = on_frame, .opaque = opaque};
    frames->last = &frames->first;
    int size = SOCKET_BUFFER;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    int result =
        dinv_usernet_loop_watch(loop, fd, DINV_USERNET_INSIDE, EPOLLIN, frames_ready, frames);
    if (result < 0) {
        free(frames);
        errno = -result;
        return NULL;
    }
    return frames;
}

static void drop_first(DinvUsernetFrames *frames) {
    Waiting *waiting = frames->first;
    frames->queued -= waiting->len;
    frames->first = waiting->next;
    if (frames->first == NULL) {
        frames->last = &frames->first;
    }
    free(waiting);
}

void dinv_usernet_frames_free(DinvUsernetFrames *frames) {
    if (frames == NULL) {
        return;
    }
    dinv_usernet_loop_forget(frames->loop, frames->fd);
    while (frames->first != NULL) {
        drop_first(frames);
    }
    free(frames);
}

/* False if it has to wait. One that cannot go at all is as lost as on a cable without a machine at
 * its other end. */
static bool try_send(DinvUsernetFrames *frames, const void *frame, size_t len) {
    ssize_t sent;
    do {
        sent = send(frames->fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

void dinv_usernet_frames_send(DinvUsernetFrames *frames, const void *frame, size_t len) {
    if (frames->first == NULL && try_send(frames, frame, len)) {
        return;
    }
    Waiting *waiting = malloc(sizeof(*waiting) + len);
    if (waiting == NULL) {
        return;
    }
    waiting->next = NULL;
    waiting->len = len;
    memcpy(waiting->bytes, frame, len);
    *frames->last = waiting;
    frames->last = &waiting->next;
    frames->queued += len;
    update_watch(frames);
}

bool dinv_usernet_frames_blocked(const DinvUsernetFrames *frames) {
    return frames->first != NULL;
}

size_t dinv_usernet_frames_queued(const DinvUsernetFrames *frames) {
    return frames->queued;
}

static void send_waiting(DinvUsernetFrames *frames) {
    while (frames->first != NULL && try_send(frames, frames->first->bytes, frames->first->len)) {
        drop_first(frames);
    }
}

static void receive(DinvUsernetFrames *frames) {
    for (int i = 0; i < FRAMES_A_TURN && frames->queued <= QUEUE_MAX; i++) {
        ssize_t len = recv(frames->fd, frames->buffer, sizeof(frames->buffer), MSG_DONTWAIT);
        if (len < 0) {
            return;
        }
        if (len > 0 && (size_t)len <= DINV_USERNET_FRAME_MAX) {
            frames->on_frame(frames->opaque, frames->buffer, (size_t)len);
        }
    }
}

static void frames_ready(void *opaque, uint32_t events) {
    DinvUsernetFrames *frames = opaque;
    if ((events & EPOLLOUT) != 0) {
        send_waiting(frames);
    }
    if ((events & EPOLLIN) != 0) {
        receive(frames);
    }
    update_watch(frames);
}

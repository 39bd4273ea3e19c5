/* SPDX-License-Identifier: MIT */
/*
 * pump: theory of operation. Two directions, each open, then over:
 *
 *   in:  fd -> stream. Over when read() says end of file or an error (then the stream is finished),
 *        or when the peer no longer reads (then the descriptor is shut down for reading).
 *   out: stream -> fd. Over when the end of the stream was passed on (shutdown for writing), or
 *        when the descriptor takes no more: then what the stream still brings is thrown away,
 *        because a sender that waits for credit would never come to read the answer that it is
 *        being sent.
 *
 * The pump is done when both are over and everything read has left through the mux: a close before
 * would reset the stream at the peer, and a reset overtakes what has not left. The exception needs
 * no waiting: when the peer has finished too, the mux sends the rest by itself.
 *
 * A hang-up means that nobody reads the descriptor's other end; bytes may still be there to read.
 * poll() reports it for as long as the descriptor is in the set, so from then on the descriptor is
 * only in the set when reading can make progress.
 */
#include "relay/io/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct DinvRelayPump {
    DinvRelayStream *stream; /* NULL when done */
    int fd;
    bool is_socket;
    bool in_open;
    bool out_open;
    bool out_ended;   /* the end of the stream was seen */
    bool out_blocked; /* the descriptor takes no more for now */
    bool hung_up;
    bool moved; /* the stream was touched: the mux may have output */
    int error;  /* the first one of the descriptor; positive */
    short events;
    DinvRelayPumpCallbacks callbacks;
    void *user;
};

static void pump_watch(DinvRelayPump *pump, short events) {
    if (events != pump->events) {
        pump->events = events;
        pump->callbacks.watch(pump->user, pump, pump->fd, events);
    }
}

static void note_error(DinvRelayPump *pump, int error) {
    if (pump->error == 0) {
        pump->error = error;
    }
}

/* The descriptor gives no more: the stream hears of it behind the bytes that were read. */
static void end_in(DinvRelayPump *pump) {
    pump->in_open = false;
    dinv_relay_stream_finish(pump->stream);
    pump->moved = true;
}

/* The end of the stream, or a descriptor that takes no more. */
static void end_out(DinvRelayPump *pump) {
    pump->out_open = false;
    pump->out_blocked = false;
}

static void pump_move_in(DinvRelayPump *pump) {
    while (pump->in_open) {
        uint8_t *room;
        ssize_t want = dinv_relay_stream_reserve(pump->stream, &room);
        if (want == -EAGAIN) {
            return;
        }
        if (want == -ENOMEM) {
            note_error(pump, ENOMEM);
            end_in(pump);
            return;
        }
        if (want < 0) {
            /* Nobody reads at the other side: whoever writes here is to hear of it. */
            pump->in_open = false;
            (void)shutdown(pump->fd, SHUT_RD);
            return;
        }
        ssize_t got = read(pump->fd, room, (size_t)want);
        if (got > 0) {
            dinv_relay_stream_commit(pump->stream, (size_t)got);
            pump->moved = true;
            if (got < want && !pump->hung_up) {
                return; /* drained; the poll says when there is more */
            }
        } else if (got == 0) {
            end_in(pump);
        } else if (errno == EAGAIN) {
            if (!pump->hung_up) {
                return;
            }
            end_in(pump); /* nobody is left who could write: to poll on would be to spin */
        } else if (errno != EINTR) {
            note_error(pump, errno);
            end_out(pump);
            end_in(pump);
        }
    }
}

/* Passes the end of the stream on: what reads at the other end of the descriptor sees EOF. */
static void shut_out(DinvRelayPump *pump) {
    end_out(pump);
    if (pump->is_socket) {
        (void)shutdown(pump->fd, SHUT_WR);
    } /* a pipe end is closed with the pump, which is then done */
}

static ssize_t pump_put(DinvRelayPump *pump, const uint8_t *bytes, size_t len) {
    return pump->is_socket ? send(pump->fd, bytes, len, MSG_NOSIGNAL) : write(pump->fd, bytes, len);
}

static void pump_move_out(DinvRelayPump *pump) {
    const uint8_t *bytes;
    pump->out_blocked = false;
    while (!pump->out_ended && !pump->out_blocked) {
        ssize_t len = dinv_relay_stream_peek(pump->stream, &bytes);
        if (len < 0) {
            return;
        }
        if (len == 0) {
            pump->out_ended = true;
            if (pump->out_open) {
                shut_out(pump);
            }
            return;
        }
        ssize_t put_len = pump->out_open ? pump_put(pump, bytes, (size_t)len) : len;
        if (put_len >= 0) {
            dinv_relay_stream_consume(pump->stream, (size_t)put_len);
            pump->moved = true;
        } else if (errno == EAGAIN) {
            pump->out_blocked = true;
        } else if (errno != EINTR) {
            note_error(pump, errno);
            end_out(pump);
        }
    }
}

static bool is_done(const DinvRelayPump *pump) {
    if (pump->in_open || pump->out_open) {
        return false;
    }
    return pump->out_ended || dinv_relay_stream_is_flushed(pump->stream);
}

/* Lets go of stream and descriptor, and says so. The pump may be freed by that. */
static void pump_complete(DinvRelayPump *pump, int error) {
    DinvRelayStream *stream = pump->stream;
    pump->stream = NULL;
    dinv_relay_stream_close(stream, error > 0 ? error : EPIPE);
    pump_watch(pump, 0);
    (void)close(pump->fd);
    pump->fd = -1;
    pump->callbacks.output(pump->user);
    pump->callbacks.done(pump->user, pump, error);
}

static short wanted_events(const DinvRelayPump *pump) {
    int events = 0;
    if (pump->in_open && dinv_relay_stream_writable_bytes(pump->stream) > 0) {
        events |= POLLIN;
    }
    if (pump->out_blocked) {
        events |= POLLOUT;
    }
    return (short)(events == 0 && !pump->hung_up ? POLLHUP : events);
}

/* After any move: what to poll for, and whether that was all. Must be the caller's last step. */
static void pump_settle(DinvRelayPump *pump) {
    if (is_done(pump)) {
        pump_complete(pump, pump->error);
        return;
    }
    pump_watch(pump, wanted_events(pump));
    if (pump->moved) {
        pump->moved = false;
        pump->callbacks.output(pump->user);
    }
}

DinvRelayPump *dinv_relay_pump_new(DinvRelayStream *stream, int fd,
                                   const DinvRelayPumpCallbacks *callbacks, void *user) {
    DinvRelayPump *pump = calloc(1, sizeof(*pump));
    if (pump == NULL) {
        return NULL;
    }
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    *pump = (DinvRelayPump){
        .stream = stream,
        .fd = fd,
        .is_socket = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode),
        .in_open = (flags & O_ACCMODE) != O_WRONLY,
        .out_open = (flags & O_ACCMODE) != O_RDONLY,
        .callbacks = *callbacks,
        .user = user,
    };
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    dinv_relay_stream_set_data(stream, pump);
    if (!pump->in_open) {
        end_in(pump);
    }
    pump_move_out(pump);
    /* Not pump_settle(): `done` may not be called before the owner has the pump. If there is
     * nothing to wait for, the descriptor is still writable, and being told so ends the pump. */
    short events = wanted_events(pump);
    if (is_done(pump)) {
        events = POLLOUT;
    }
    pump_watch(pump, events);
    return pump;
}

void dinv_relay_pump_free(DinvRelayPump *pump) {
    if (pump == NULL) {
        return;
    }
    if (pump->stream != NULL) {
        dinv_relay_stream_close(pump->stream, ECANCELED);
        pump_watch(pump, 0);
        (void)close(pump->fd);
    }
    free(pump);
}

void dinv_relay_pump_ready(DinvRelayPump *pump, short revents) {
    if (pump->stream == NULL) {
        return;
    }
    if ((revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        pump->hung_up = true;
        end_out(pump);
    }
    if ((revents & POLLIN) != 0 || pump->hung_up) {
        pump_move_in(pump);
    }
    pump_move_out(pump);
    pump_settle(pump);
}

void dinv_relay_pump_stream_readable(DinvRelayPump *pump) {
    if (pump->stream != NULL) {
        pump_move_out(pump);
        pump_settle(pump);
    }
}

void dinv_relay_pump_stream_writable(DinvRelayPump *pump) {
    if (pump->stream != NULL) {
        pump_move_in(pump);
        pump_settle(pump);
    }
}

void dinv_relay_pump_stream_broken(DinvRelayPump *pump, int error) {
    if (pump->stream == NULL) {
        return;
    }
    /* On TCP a close then resets the connection: a broken stream must not look like its end. */
    if (pump->is_socket) {
        const struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(pump->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    pump_complete(pump, error);
}

void *dinv_relay_pump_get_user(const DinvRelayPump *pump) {
    return pump->user;
}

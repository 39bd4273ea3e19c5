/* SPDX-License-Identifier: MIT */
/*
 * client -- pump -- launcher's mux -- guest's mux -- pump -- server: the client and the server are
 * the far ends of socket pairs, and see what they would see if they were connected to each other.
 * After every scene nothing may be left that poll() reports for a pump which waits: that would be a
 * busy loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/io/pump.h"
#include "tests/unit/lib/relay-pair.h"

typedef struct {
    int fd; /* the test's end; -1 when closed */
    DinvRelayPump *pump;
    int pump_fd;
    short events;
    guint done_count;
    int done_error;
    guint ready_count;
    gsize sent, to_send;
    gsize received;
    gboolean finish; /* shut down for writing when all is sent */
    gboolean finished;
    gboolean reading;
    gboolean ended; /* EOF was read */
    guint8 seed;
} End;

typedef struct {
    RelayPair pair;
    End client;
    End server;
} Line;

static void on_watch(void *user, DinvRelayPump *pump, int fd, short events) {
    End *end = user;
    (void)pump;
    g_assert_cmpint(fd, ==, end->pump_fd);
    g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0); /* still open */
    end->events = events;
}

static void on_done(void *user, DinvRelayPump *pump, int error) {
    End *end = user;
    g_assert_cmpint(end->events, ==, 0);
    end->done_count++;
    end->done_error = error;
    end->pump = NULL;
    dinv_relay_pump_free(pump);
}

static void on_output(void *user) {
    (void)user;
}

static const DinvRelayPumpCallbacks pump_callbacks = {
    .watch = on_watch, .done = on_done, .output = on_output};

static void on_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    dinv_relay_pump_stream_readable(dinv_relay_stream_get_data(stream));
}

static void on_writable(void *user, DinvRelayStream *stream) {
    (void)user;
    dinv_relay_pump_stream_writable(dinv_relay_stream_get_data(stream));
}

static void on_broken(void *user, DinvRelayStream *stream, int error) {
    (void)user;
    dinv_relay_pump_stream_broken(dinv_relay_stream_get_data(stream), error);
}

static void on_incoming(void *user, DinvRelayStream *stream, const char *service,
                        const uint8_t *argument, size_t argument_len) {
    RelaySide *side = user;
    (void)service;
    (void)argument;
    (void)argument_len;
    g_ptr_array_add(side->incoming, stream);
}

static const DinvRelayCallbacks mux_callbacks = {
    .incoming = on_incoming,
    .refused = on_broken,
    .readable = on_readable,
    .writable = on_writable,
    .reset = on_broken,
};

static void end_connect(End *end, DinvRelayStream *stream, int fd, int pump_fd, guint8 seed) {
    *end = (End){.fd = fd, .pump_fd = pump_fd, .reading = TRUE, .seed = seed};
    g_assert_cmpint(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), ==, 0);
    end->pump = dinv_relay_pump_new(stream, pump_fd, &pump_callbacks, end);
    g_assert_nonnull(end->pump);
    g_assert_true(dinv_relay_pump_get_user(end->pump) == end);
    g_assert_true(dinv_relay_stream_get_data(stream) == end->pump);
    g_assert_cmpint(end->events, !=, 0);
}

static void end_connect_pair(End *end, DinvRelayStream *stream, guint8 seed) {
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    end_connect(end, stream, fds[0], fds[1], seed);
}

/* Two muxes whose streams belong to pumps; no stream yet. */
static void line_begin(Line *line) {
    memset(line, 0, sizeof(*line));
    relay_side_init(&line->pair.launcher, DINV_RELAY_LAUNCHER, 1, NULL);
    relay_side_init(&line->pair.guest, DINV_RELAY_GUEST, 2, NULL);
    dinv_relay_mux_free(line->pair.launcher.mux);
    dinv_relay_mux_free(line->pair.guest.mux);
    line->pair.launcher.mux =
        dinv_relay_mux_new(DINV_RELAY_LAUNCHER, 1, NULL, &mux_callbacks, &line->pair.launcher);
    line->pair.guest.mux =
        dinv_relay_mux_new(DINV_RELAY_GUEST, 2, NULL, &mux_callbacks, &line->pair.guest);
    line->client.fd = line->server.fd = -1;
}

static void line_init(Line *line) {
    line_begin(line);
    end_connect_pair(&line->client, relay_open(&line->pair.launcher, "s"), 3);
    relay_pair_settle(&line->pair, 65536);
    DinvRelayStream *stream = relay_side_stream(&line->pair.guest, 0);
    end_connect_pair(&line->server, stream, 101);
    dinv_relay_stream_accept(stream);
}

static guint8 pattern(const End *end, gsize offset) {
    return (guint8)(end->seed + offset * 13 + (offset >> 10));
}

/* What a program at this end does: writes what it has, reads what comes. */
static gsize end_act(End *end, const End *other) {
    guint8 bytes[30000];
    gsize moved = 0;
    if (end->fd < 0) {
        return 0;
    }
    gsize len = MIN(sizeof(bytes), end->to_send - end->sent);
    for (gsize i = 0; i < len; i++) {
        bytes[i] = pattern(end, end->sent + i);
    }
    ssize_t sent = len > 0 ? send(end->fd, bytes, len, MSG_NOSIGNAL) : 0;
    if (sent > 0) {
        end->sent += (gsize)sent;
        moved += (gsize)sent;
    }
    if (end->finish && !end->finished && end->sent == end->to_send) {
        end->finished = TRUE;
        g_assert_cmpint(shutdown(end->fd, SHUT_WR), ==, 0);
        moved++;
    }
    ssize_t got = end->reading ? recv(end->fd, bytes, sizeof(bytes), 0) : -1;
    for (gsize i = 0; got > 0 && i < (gsize)got; i++) {
        g_assert_cmpuint(bytes[i], ==, pattern(other, end->received + i));
    }
    if (got > 0) {
        g_assert_false(end->ended);
        end->received += (gsize)got;
        moved += (gsize)got;
    } else if (!end->ended && (got == 0 || (end->reading && errno == ECONNRESET))) {
        /* A peer that closes with something unread gives ECONNRESET, on a direct connection too. */
        end->ended = TRUE;
        moved++;
    }
    return moved;
}

static gsize end_poll(End *end) {
    if (end->events == 0) {
        return 0;
    }
    struct pollfd item = {.fd = end->pump_fd, .events = (short)(end->events & (POLLIN | POLLOUT))};
    if (poll(&item, 1, 0) <= 0) {
        return 0;
    }
    end->ready_count++;
    g_assert_nonnull(end->pump);
    dinv_relay_pump_ready(end->pump, item.revents);
    return 1;
}

/* Until nothing moves any more: no descriptor that is watched has anything to report, no mux has
 * output, client and server can do nothing. A busy loop would not come to that. */
static void line_run(Line *line) {
    gsize moved;
    guint rounds = 0;
    do {
        moved = end_act(&line->client, &line->server);
        moved += end_act(&line->server, &line->client);
        moved += end_poll(&line->client);
        moved += end_poll(&line->server);
        moved += relay_move(line->pair.launcher.mux, line->pair.guest.mux, 65536);
        moved += relay_move(line->pair.guest.mux, line->pair.launcher.mux, 65536);
        g_assert_cmpuint(++rounds, <, 20000);
    } while (moved > 0);
}

static void end_close(End *end) {
    if (end->fd >= 0) {
        close(end->fd);
        end->fd = -1;
    }
}

/* Both pumps have said once that they are done, closed their descriptors, and left nothing. */
static void line_assert_done(Line *line) {
    g_assert_cmpuint(line->client.done_count, ==, 1);
    g_assert_cmpuint(line->server.done_count, ==, 1);
    g_assert_cmpint(fcntl(line->client.pump_fd, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(line->server.pump_fd, F_GETFD), ==, -1);
}

static void line_clear(Line *line) {
    line_assert_done(line);
    end_close(&line->client);
    end_close(&line->server);
    relay_pair_clear(&line->pair);
}

#define BIG (3u << 20)

static void test_half_close_orders(void) {
    for (guint order = 0; order < 3; order++) { /* client first, server first, at once */
        Line line;
        line_init(&line);
        line.client.to_send = line.server.to_send = BIG;
        line.client.finish = order != 1;
        line.server.finish = order != 0;
        line_run(&line);
        g_assert_cmpuint(line.client.received, ==, BIG);
        g_assert_cmpuint(line.server.received, ==, BIG);
        g_assert_cmpint(line.server.ended, ==, order != 1);
        g_assert_cmpint(line.client.ended, ==, order != 0);
        if (order < 2) {
            End *late = order == 0 ? &line.server : &line.client;
            End *early = order == 0 ? &line.client : &line.server;
            g_assert_cmpuint(line.client.done_count + line.server.done_count, ==, 0);
            late->to_send += BIG; /* the other direction goes on */
            line_run(&line);
            g_assert_cmpuint(early->received, ==, (gsize)BIG * 2);
            late->finish = TRUE;
            line_run(&line);
            g_assert_true(early->ended);
        }
        g_assert_cmpint(line.client.done_error, ==, 0);
        g_assert_cmpint(line.server.done_error, ==, 0);
        line_clear(&line);
    }
}

/* A server that answers and closes at once, before it read all of the request: the answer comes
 * whole, as on a direct connection. */
static void test_answer_and_close(void) {
    Line line;
    line_init(&line);
    line.server.reading = FALSE;
    line.client.to_send = BIG;
    line.server.to_send = 150000;
    line.client.reading = FALSE; /* and it is still on its way when the server closes */
    line_run(&line);
    g_assert_cmpuint(line.server.sent, ==, 150000);
    end_close(&line.server);
    line_run(&line);
    g_assert_cmpuint(line.client.sent, <, BIG);
    line.client.reading = TRUE;
    line_run(&line);
    g_assert_cmpuint(line.client.received, ==, 150000);
    g_assert_true(line.client.ended);
    line_clear(&line);
}

/* Either end goes away in the middle of a transfer in the other direction, or in its own, or idle.
 */
static void test_abrupt_close(void) {
    for (guint scene = 0; scene < 8; scene++) {
        Line line;
        line_init(&line);
        End *gone = (scene & 1) != 0 ? &line.client : &line.server;
        End *left = (scene & 1) != 0 ? &line.server : &line.client;
        gone->reading = FALSE;
        left->to_send = (scene & 2) != 0 ? BIG : 0;
        gone->to_send = (scene & 4) != 0 ? 100000 : 0;
        line_run(&line);
        end_close(gone);
        line_run(&line);
        /* All that the one had written arrives, then the end; and writing stops. */
        g_assert_cmpuint(left->received, ==, gone->sent);
        g_assert_true(left->ended);
        guint8 byte = 0;
        g_assert_cmpint(send(left->fd, &byte, 1, MSG_NOSIGNAL), ==, -1);
        line_clear(&line);
    }
}

/* A client that half-closed and then goes away while nothing happens: the hang-up is seen. */
static void test_hang_up_after_half_close(void) {
    Line line;
    line_init(&line);
    line.client.to_send = 10;
    line.client.finish = TRUE;
    line_run(&line);
    g_assert_true(line.server.ended);
    g_assert_cmpint(line.client.events, ==, POLLHUP);
    g_assert_cmpuint(line.client.done_count, ==, 0);
    end_close(&line.client);
    line_run(&line);
    g_assert_cmpuint(line.client.done_count, ==, 1);
    g_assert_cmpuint(line.server.done_count, ==, 1);
    guint8 byte = 0;
    g_assert_cmpint(send(line.server.fd, &byte, 1, MSG_NOSIGNAL), ==, -1);
    g_assert_cmpint(errno, ==, EPIPE);
    line_clear(&line);
}

/* The server does not read: the client is stopped, with bounded memory; nothing spins, not even
 * when the client hangs up; and in the end everything that was taken arrives. */
static void test_backpressure(void) {
    Line line;
    line_init(&line);
    line.server.reading = FALSE;
    line.client.to_send = 100u << 20;
    line_run(&line);
    g_assert_cmpuint(line.client.sent, <, 4u << 20);
    g_assert_cmpint(line.client.events, ==, POLLHUP);
    g_assert_cmpint(line.server.events, ==, POLLIN | POLLOUT);
    gsize held = relay_memory(&line.pair.launcher) + relay_memory(&line.pair.guest);
    g_assert_cmpuint(held, <, 12 * 2 * 32800 + 100000);
    guint before = line.client.ready_count;
    end_close(&line.client);
    line_run(&line);
    g_assert_cmpuint(line.client.ready_count, ==, before + 1); /* told once, then not watched */
    g_assert_cmpint(line.client.events, ==, 0);
    line.server.reading = TRUE;
    line_run(&line);
    g_assert_cmpuint(line.server.received, ==, line.client.sent);
    g_assert_true(line.server.ended);
    line_clear(&line);
}

static void test_refused(void) {
    Line line;
    line_begin(&line);
    end_connect_pair(&line.client, relay_open(&line.pair.launcher, "s"), 3);
    line.client.to_send = 1000;
    line_run(&line);
    DinvRelayStream *stream = relay_side_stream(&line.pair.guest, 0);
    dinv_relay_stream_refuse(stream, ECONNREFUSED);
    dinv_relay_stream_close(stream, 0);
    line_run(&line);
    g_assert_cmpint(line.client.done_error, ==, ECONNREFUSED);
    g_assert_true(line.client.ended);
    line.server.done_count = 1; /* there was none */
    line.server.pump_fd = line.client.pump_fd;
    line_clear(&line);
}

static void test_session_lost(void) {
    Line line;
    line_init(&line);
    line.client.to_send = 1000;
    line_run(&line);
    dinv_relay_mux_restart(line.pair.guest.mux, 3);
    g_assert_cmpint(line.server.done_error, ==, ECONNRESET);
    line_run(&line);
    g_assert_cmpint(line.client.done_error, ==, ECONNRESET);
    g_assert_true(line.client.ended && line.server.ended);
    line_clear(&line);
}

/* Freed in the middle: no `done`, and the other side ends. */
static void test_free(void) {
    Line line;
    line_init(&line);
    line.client.to_send = BIG;
    line.server.reading = FALSE;
    line_run(&line);
    dinv_relay_pump_free(line.client.pump);
    g_assert_cmpint(line.client.events, ==, 0);
    g_assert_cmpuint(line.client.done_count, ==, 0);
    line.client.done_count = 1;
    line_run(&line);
    g_assert_cmpint(line.server.done_error, ==, ECANCELED);
    line_clear(&line);
}

/* A broken stream must not look like an orderly end on TCP. */
static void test_tcp_reset(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(listener, (struct sockaddr *)&address, len), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (struct sockaddr *)&address, &len), ==, 0);
    g_assert_cmpint(connect(client, (struct sockaddr *)&address, len), ==, 0);
    int accepted = accept(listener, NULL, NULL);
    g_assert_cmpint(accepted, >=, 0);
    close(listener);

    Line line;
    line_begin(&line);
    end_connect(&line.client, relay_open(&line.pair.launcher, "s"), client, accepted, 3);
    relay_pair_settle(&line.pair, 65536);
    DinvRelayStream *stream = relay_side_stream(&line.pair.guest, 0);
    end_connect_pair(&line.server, stream, 101);
    dinv_relay_stream_accept(stream);
    line.server.to_send = 1000;
    line_run(&line);
    g_assert_cmpuint(line.client.received, ==, 1000);
    dinv_relay_mux_restart(line.pair.launcher.mux, 3);
    struct pollfd item = {.fd = client, .events = POLLIN};
    g_assert_cmpint(poll(&item, 1, 10000), ==, 1);
    guint8 byte;
    g_assert_cmpint(recv(client, &byte, 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
    line_run(&line);
    line_clear(&line);
}

/* Pipe ends go one way: here from a pipe, through both muxes, into a pipe. */
static void test_pipes(void) {
    Line line;
    int from[2];
    int into[2];
    g_assert_cmpint(pipe2(from, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(into, O_CLOEXEC), ==, 0);
    line_begin(&line);
    end_connect(&line.client, relay_open(&line.pair.launcher, "s"), from[1], from[0], 3);
    relay_pair_settle(&line.pair, 65536);
    DinvRelayStream *stream = relay_side_stream(&line.pair.guest, 0);
    end_connect(&line.server, stream, into[0], into[1], 101);
    dinv_relay_stream_accept(stream);
    line.client.fd = line.server.fd = -1; /* socket calls would fail */
    guint8 bytes[2000];
    gsize received = 0;
    for (guint round = 0; round < 100; round++) {
        memset(bytes, (int)round, sizeof(bytes));
        g_assert_cmpint(write(from[1], bytes, sizeof(bytes)), ==, sizeof(bytes));
        line_run(&line);
        g_assert_cmpint(read(into[0], bytes, sizeof(bytes)), ==, sizeof(bytes));
        g_assert_cmpuint(bytes[sizeof(bytes) - 1], ==, round);
        received += sizeof(bytes);
    }
    g_assert_cmpuint(received, ==, 200000);
    g_assert_cmpint(write(from[1], "end", 3), ==, 3);
    close(from[1]);
    line_run(&line);
    g_assert_cmpint(read(into[0], bytes, sizeof(bytes)), ==, 3);
    g_assert_cmpint(read(into[0], bytes, sizeof(bytes)), ==, 0);
    close(into[0]);
    g_assert_cmpint(line.client.done_error, ==, 0);
    g_assert_cmpint(line.server.done_error, ==, 0);
    line_clear(&line);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/pump/half-close-orders", test_half_close_orders);
    g_test_add_func("/relay/pump/answer-and-close", test_answer_and_close);
    g_test_add_func("/relay/pump/abrupt-close", test_abrupt_close);
    g_test_add_func("/relay/pump/hang-up-after-half-close", test_hang_up_after_half_close);
    g_test_add_func("/relay/pump/backpressure", test_backpressure);
    g_test_add_func("/relay/pump/refused", test_refused);
    g_test_add_func("/relay/pump/session-lost", test_session_lost);
    g_test_add_func("/relay/pump/free", test_free);
    g_test_add_func("/relay/pump/tcp-reset", test_tcp_reset);
    g_test_add_func("/relay/pump/pipes", test_pipes);
    return g_test_run();
}

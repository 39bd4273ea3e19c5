/* SPDX-License-Identifier: MIT */
/* Streams between two muxes: opening, bytes and ends, credit, turns, memory. The session (hellos,
 * restarts, protocol errors) is in test-session.c. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "relay/mux-internal.h"
#include "tests/unit/lib/relay-pair.h"

static void test_open_accept_close(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    int error = 0;
    DinvRelayStream *stream = dinv_relay_open(pair.launcher.mux, "docker",
                                              (const uint8_t *)"{argument}", 10, &pair, &error);
    g_assert_nonnull(stream);
    g_assert_true(dinv_relay_stream_get_data(stream) == &pair);
    /* Written before the accept. */
    g_assert_cmpint(dinv_relay_stream_write(stream, "hello", 5), ==, 5);
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.guest, "incoming:docker:{argument} ");
    relay_assert_log(&pair.launcher, "opened ");
    g_assert_cmpuint(pair.guest.received, ==, 5);

    dinv_relay_stream_finish(stream);
    g_assert_false(dinv_relay_stream_is_flushed(stream));
    relay_pair_settle(&pair, 65536);
    g_assert_true(dinv_relay_stream_is_flushed(stream));
    relay_assert_log(&pair.launcher, "writable ");
    g_assert_cmpuint(pair.guest.ends, ==, 1);
    DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
    g_assert_cmpint(dinv_relay_stream_write(theirs, "bye", 3), ==, 3);
    dinv_relay_stream_finish(theirs);
    dinv_relay_stream_close(theirs, 0); /* what was written still goes */
    relay_pair_settle(&pair, 65536);
    g_assert_cmpuint(pair.launcher.received, ==, 3);
    g_assert_cmpuint(pair.launcher.ends, ==, 1);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.launcher, "");
    relay_pair_clear(&pair);
}

static void test_open_arguments(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    static const struct {
        const char *service;
        gsize argument_len;
        int error;
    } cases[] = {
        {"", 0, -EINVAL},
        {"a23456789012345678901234567890123", 0, -EINVAL},
        {"a2345678901234567890123456789012", 0, 0},
        {"s", 32769, -EINVAL},
        {"s", 32768, 0},
    };
    g_autofree uint8_t *argument = g_malloc(40000);
    memset(argument, 'a', 40000);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        int error = 0;
        DinvRelayStream *stream = dinv_relay_open(pair.launcher.mux, cases[i].service, argument,
                                                  cases[i].argument_len, NULL, &error);
        g_assert_cmpint(error, ==, cases[i].error);
        g_assert_cmpint(stream != NULL, ==, error == 0);
        if (stream != NULL) {
            relay_pair_settle(&pair, 64); /* an argument in many pieces */
            relay_assert_log(&pair.launcher, "opened ");
            dinv_relay_stream_close(stream, 0);
            relay_pair_settle(&pair, 64);
            dinv_relay_stream_close(relay_side_stream(&pair.guest, pair.guest.incoming->len - 1),
                                    0);
        }
    }
    g_assert_cmpstr(pair.guest.log->str, ==,
                    "incoming:a2345678901234567890123456789012: reset:125 "
                    "incoming:s:aaaaaaaaaaaaaaaaaaaa reset:125 ");
    relay_pair_clear(&pair);
}

static void test_refuse(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    pair.guest.accept = FALSE;
    DinvRelayStream *refused = relay_open(&pair.launcher, "nobody");
    DinvRelayStream *closed = relay_open(&pair.launcher, "nobody");
    g_assert_cmpint(dinv_relay_stream_write(refused, "lost", 4), ==, 4);
    relay_pair_settle(&pair, 65536);
    dinv_relay_stream_refuse(relay_side_stream(&pair.guest, 0), ENOENT);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 1), EBUSY); /* without an answer */
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.launcher, "refused:2 refused:16 ");
    g_assert_cmpint(dinv_relay_stream_write(refused, "x", 1), ==, -ECONNRESET);
    dinv_relay_stream_close(refused, 0);
    dinv_relay_stream_close(closed, 0);
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

/* Without `incoming` nothing is offered. */
static void test_no_services(void) {
    RelaySide side;
    relay_side_init(&side, DINV_RELAY_LAUNCHER, 1, NULL);
    DinvRelayMux *bare =
        dinv_relay_mux_new(DINV_RELAY_GUEST, 2, NULL, &(DinvRelayCallbacks){0}, NULL);
    DinvRelayStream *stream = relay_open(&side, "docker");
    while (relay_move(side.mux, bare, 4096) + relay_move(bare, side.mux, 4096) > 0) {
    }
    relay_assert_log(&side, "refused:111 ");
    dinv_relay_stream_close(stream, 0);
    dinv_relay_mux_free(bare);
    relay_side_clear(&side);
}

static void test_max_streams(void) {
    RelayPair pair;
    relay_pair_init(&pair, &(DinvRelayLimits){.max_streams = 3});
    DinvRelayStream *ours[3];
    for (guint i = 0; i < 3; i++) {
        ours[i] = relay_open(&pair.launcher, "s");
    }
    int error = 0;
    g_assert_null(dinv_relay_open(pair.launcher.mux, "s", NULL, 0, NULL, &error));
    g_assert_cmpint(error, ==, -EMFILE);
    /* One of the guest's own: the third of ours is one too many there. */
    DinvRelayStream *theirs = relay_open(&pair.guest, "s");
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.launcher, "refused:24 opened opened ");
    relay_assert_log(&pair.guest, "incoming:s: incoming:s: refused:24 ");
    dinv_relay_stream_close(theirs, 0);
    for (guint i = 0; i < 3; i++) {
        dinv_relay_stream_close(ours[i], 0);
    }
    relay_pair_settle(&pair, 65536);
    /* There is room again once those two are closed. */
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 1), 0);
    theirs = relay_open(&pair.guest, "s");
    relay_pair_settle(&pair, 65536);
    g_string_truncate(pair.guest.log, 0);
    dinv_relay_stream_close(theirs, EIO);
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.launcher, "incoming:s: reset:5 ");
    dinv_relay_stream_close(relay_side_stream(&pair.launcher, 0), 0);
    relay_pair_clear(&pair);
}

/* Writes until the stream takes no more. */
static gsize fill(DinvRelayStream *stream) {
    static uint8_t bytes[10000];
    gsize total = 0;
    ssize_t len;
    while ((len = dinv_relay_stream_write(stream, bytes, sizeof(bytes))) > 0) {
        total += (gsize)len;
    }
    g_assert_cmpint(len, ==, -EAGAIN);
    return total;
}

static void test_credit(void) {
    static const DinvRelayLimits limits = {.window = 1000, .send_buffer = 600, .max_payload = 50};
    RelayPair pair;
    relay_pair_init(&pair, &limits);
    pair.guest.consume = FALSE;
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    gsize written = fill(stream);
    g_assert_cmpuint(written, ==, 600);
    g_assert_cmpuint(dinv_relay_stream_writable_bytes(stream), ==, 0);
    gsize writable = 0;
    for (;;) {
        relay_pair_settle(&pair, 65536);
        if (strstr(pair.launcher.log->str, "writable") == NULL) {
            break;
        }
        g_string_truncate(pair.launcher.log, 0);
        written += fill(stream);
        writable++;
    }
    /* The window and the send buffer are full, and everything stands. */
    g_assert_cmpuint(written, ==, 1600);
    g_assert_cmpuint(writable, >=, 1);

    /* Less than a quarter of the window gives no credit back, a quarter does. */
    DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
    dinv_relay_stream_consume(theirs, 249);
    g_assert_false(dinv_relay_mux_has_output(pair.guest.mux));
    dinv_relay_stream_consume(theirs, 1);
    g_assert_true(dinv_relay_mux_has_output(pair.guest.mux));
    relay_pair_settle(&pair, 65536);
    g_assert_cmpuint(dinv_relay_stream_writable_bytes(stream), ==, 250);

    const uint8_t *bytes;
    ssize_t len;
    gsize read = 250;
    while ((len = dinv_relay_stream_peek(theirs, &bytes)) > 0) {
        dinv_relay_stream_consume(theirs, (gsize)len);
        read += (gsize)len;
        relay_pair_settle(&pair, 65536);
    }
    g_assert_cmpint(len, ==, -EAGAIN);
    g_assert_cmpuint(read, ==, 1600);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 65536);
    dinv_relay_stream_close(theirs, 0);
    relay_pair_clear(&pair);
}

/* A frame is not cut for want of credit, unless the whole window would not do for it. */
static void test_uncut(void) {
    static const DinvRelayLimits limits = {.window = 1000, .send_buffer = 2000, .max_payload = 300};
    static const struct {
        guint32 window;
        gsize sent; /* before the peer reads */
    } cases[] = {{1000, 900}, {600, 600}, {500, 300}, {299, 299}, {10, 10}, {1, 1}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvRelayLimits case_limits = limits;
        case_limits.window = cases[i].window;
        RelayPair pair;
        relay_pair_init(&pair, &case_limits);
        pair.guest.consume = FALSE;
        DinvRelayStream *stream = relay_open(&pair.launcher, "s");
        g_assert_cmpuint(fill(stream), ==, 2000);
        relay_pair_settle(&pair, 65536);
        g_assert_cmpuint(dinv_relay_stream_writable_bytes(stream), ==, cases[i].sent);
        /* All of it comes as it is read. */
        DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
        const uint8_t *bytes;
        ssize_t len;
        gsize got = 0;
        while ((len = dinv_relay_stream_peek(theirs, &bytes)) > 0) {
            dinv_relay_stream_consume(theirs, (gsize)len);
            got += (gsize)len;
            relay_pair_settle(&pair, 65536);
        }
        g_assert_cmpuint(got, ==, 2000);
        dinv_relay_stream_close(stream, 0);
        dinv_relay_stream_close(theirs, 0);
        relay_pair_settle(&pair, 65536);
        relay_pair_clear(&pair);
    }
}

/* The window of a reader who takes all that comes grows, up to its limit and that of all together;
 * that of a slow one does not, and the growth comes back with the stream. */
static void test_window_grows(void) {
    static const DinvRelayLimits limits = {
        .window = 1000, .send_buffer = 5000, .window_max = 4000, .window_more = 4500};
    RelayPair pair;
    relay_pair_init(&pair, &limits);
    DinvRelayStream *streams[3];
    for (guint i = 0; i < 3; i++) {
        streams[i] = relay_open(&pair.launcher, "s");
        relay_pair_settle(&pair, 65536);
        for (guint j = 0; j < 10; j++) {
            (void)fill(streams[i]);
            relay_pair_settle(&pair, 65536);
        }
    }
    static const guint expected[] = {4000, 2500, 1000};
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpuint(relay_side_stream(&pair.guest, i)->window, ==, expected[i]);
    }
    pair.guest.consume = FALSE;
    (void)fill(streams[0]);
    relay_pair_settle(&pair, 65536);
    (void)fill(streams[0]);
    relay_pair_settle(&pair, 65536);
    g_assert_cmpuint(relay_side_stream(&pair.guest, 0)->input.len, <=, 4000);
    for (guint i = 0; i < 3; i++) {
        dinv_relay_stream_close(streams[i], 0);
        relay_pair_settle(&pair, 65536);
        dinv_relay_stream_close(relay_side_stream(&pair.guest, i), 0);
    }
    relay_pair_settle(&pair, 65536);
    g_assert_cmpuint(pair.guest.mux->window_more, ==, 0);
    relay_pair_clear(&pair);
}

/* What is put into reserved room arrives; room that is not used is not lost. */
static void test_reserve(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    pair.guest.consume = FALSE;
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    gsize before = relay_memory(&pair.launcher);
    uint8_t *room;
    g_assert_cmpint(dinv_relay_stream_reserve(stream, &room), ==, DINV_RELAY_CHUNK_SIZE);
    dinv_relay_stream_commit(stream, 0);
    gsize written = 0;
    ssize_t len;
    for (gsize step = 1; (len = dinv_relay_stream_reserve(stream, &room)) > 0; step = 3 * step) {
        gsize part = MIN(step, (gsize)len);
        for (gsize i = 0; i < part; i++) {
            room[i] = (uint8_t)((written + i) % 251);
        }
        dinv_relay_stream_commit(stream, part);
        written += part;
    }
    g_assert_cmpint(len, ==, -EAGAIN);
    g_assert_cmpuint(written, ==, (gsize)2 * DINV_RELAY_CHUNK_SIZE);
    g_assert_cmpuint(relay_memory(&pair.launcher) - before, <=, (gsize)5 * DINV_RELAY_CHUNK_SIZE);
    relay_pair_settle(&pair, 1000);
    g_assert_nonnull(strstr(pair.launcher.log->str, "writable"));
    dinv_relay_stream_finish(stream);
    g_assert_cmpint(dinv_relay_stream_reserve(stream, &room), ==, -EPIPE);
    relay_pair_settle(&pair, 1000);
    DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
    const uint8_t *bytes;
    gsize got = 0;
    while ((len = dinv_relay_stream_peek(theirs, &bytes)) > 0) {
        for (gsize i = 0; i < (gsize)len; i++) {
            g_assert_cmpuint(bytes[i], ==, (got + i) % 251);
        }
        dinv_relay_stream_consume(theirs, (gsize)len);
        got += (gsize)len;
    }
    g_assert_cmpint(len, ==, 0);
    g_assert_cmpuint(got, ==, written);
    dinv_relay_stream_close(stream, 0);
    dinv_relay_stream_close(theirs, 0);
    relay_pair_settle(&pair, 1000);
    relay_pair_clear(&pair);
}

/* Frames of full chunks lie ready to be written, and a stream that breaks in the middle of one does
 * not cut it off. */
static void test_leaves_uncopied(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    relay_pair_settle(&pair, 65536);
    uint8_t *room;
    const uint8_t *frame;
    ssize_t len = dinv_relay_stream_reserve(stream, &room);
    memset(room, 'x', (gsize)len);
    dinv_relay_stream_commit(stream, (gsize)len);
    g_assert_cmpint(dinv_relay_mux_peek(pair.launcher.mux, &frame), ==, 32768);
    g_assert_true(frame + DINV_RELAY_HEADER_SIZE == room);
    g_autofree uint8_t *whole = g_memdup2(frame, 32768);
    dinv_relay_mux_consume(pair.launcher.mux, 1000);
    g_assert_cmpint(dinv_relay_mux_feed(pair.guest.mux, whole, 1000), ==, 0);
    dinv_relay_stream_close(stream, 0); /* resets it */
    g_assert_cmpint(dinv_relay_mux_peek(pair.launcher.mux, &frame), ==, 32768 - 1000);
    g_assert_cmpint(memcmp(frame, whole + 1000, 32768 - 1000), ==, 0);
    dinv_relay_mux_consume(pair.launcher.mux, 32768 - 1000);
    g_assert_cmpint(dinv_relay_mux_feed(pair.guest.mux, whole + 1000, 32768 - 1000), ==, 0);
    relay_pair_settle(&pair, 65536);
    g_assert_nonnull(strstr(pair.guest.log->str, "reset"));
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* The smallest of everything still moves. */
static void test_tiny_limits(void) {
    RelayPair pair;
    relay_pair_init(&pair, &(DinvRelayLimits){.window = 1, .send_buffer = 1, .max_payload = 1});
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    for (guint i = 0; i < 100; i++) {
        g_assert_cmpint(dinv_relay_stream_write(stream, "xyz", 3), ==, 1);
        relay_pair_settle(&pair, 64);
    }
    g_assert_cmpuint(pair.guest.received, ==, 100);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 64);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* The streams named by the DATA frames of one pull, in order. */
static GArray *pull_order(DinvRelayMux *mux, gsize cap, gsize *total) {
    g_autofree uint8_t *buffer = g_malloc(cap);
    GArray *order = g_array_new(FALSE, FALSE, sizeof(DinvRelayHeader));
    ssize_t len = relay_pull(mux, buffer, cap);
    g_assert_cmpint(len, >=, 0);
    *total = (gsize)len;
    for (gsize at = 0; at < (gsize)len;) {
        DinvRelayHeader header;
        g_assert_true(dinv_relay_header_decode(buffer + at, &header));
        if (header.type == DINV_RELAY_FRAME_DATA) {
            g_array_append_val(order, header);
        }
        at += DINV_RELAY_HEADER_SIZE + header.length;
    }
    return order;
}

/* Streams take turns of max_payload bytes. */
static void test_turns(void) {
    static const DinvRelayLimits limits = {.send_buffer = 65536, .max_payload = 8192};
    RelayPair pair;
    relay_pair_init(&pair, &limits);
    DinvRelayStream *streams[4];
    for (guint i = 0; i < 4; i++) {
        streams[i] = relay_open(&pair.launcher, "s");
    }
    relay_pair_settle(&pair, 65536);
    for (guint i = 0; i < 4; i++) {
        g_assert_cmpuint(fill(streams[i]), ==, 65536);
    }
    gsize total;
    const gsize cap = (gsize)8 * (DINV_RELAY_HEADER_SIZE + 8192);
    g_autoptr(GArray) order = pull_order(pair.launcher.mux, cap, &total);
    g_assert_cmpuint(total, ==, cap);
    g_assert_cmpuint(order->len, ==, 8);
    for (guint i = 0; i < order->len; i++) {
        const DinvRelayHeader *header = &g_array_index(order, DinvRelayHeader, i);
        g_assert_cmpuint(header->stream, ==, 2 + 2 * (i % 4));
        g_assert_cmpuint(header->length, ==, 8192);
    }
    for (guint i = 0; i < 4; i++) {
        dinv_relay_stream_close(streams[i], 0);
        dinv_relay_stream_close(relay_side_stream(&pair.guest, i), 0);
    }
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

#define CROWD      256u
#define CROWD_SIZE (1u << 20)

/* 256 streams with a mebibyte each; the first is never read. */
static void test_one_never_read(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    pair.guest.consume = FALSE;
    static uint8_t bytes[4096];
    DinvRelayStream *streams[CROWD];
    gsize sent[CROWD] = {0};
    gsize got[CROWD] = {0};
    guint ended = 0;
    gsize most = 0;
    for (guint i = 0; i < CROWD; i++) {
        streams[i] = relay_open(&pair.launcher, "s");
    }
    relay_pair_settle(&pair, 65536);
    gsize moved;
    do {
        for (guint i = 0; i < CROWD; i++) {
            ssize_t len;
            while (sent[i] < CROWD_SIZE &&
                   (len = dinv_relay_stream_write(streams[i], bytes,
                                                  MIN(sizeof(bytes), CROWD_SIZE - sent[i]))) > 0) {
                sent[i] += (gsize)len;
            }
            if (sent[i] == CROWD_SIZE) {
                dinv_relay_stream_finish(streams[i]);
            }
        }
        moved = relay_move(pair.launcher.mux, pair.guest.mux, 1 << 20);
        moved += relay_move(pair.guest.mux, pair.launcher.mux, 65536);
        most = MAX(most, MAX(relay_memory(&pair.launcher), relay_memory(&pair.guest)));
        ended = 0;
        for (guint i = 1; i < CROWD; i++) {
            DinvRelayStream *theirs = relay_side_stream(&pair.guest, i);
            const uint8_t *from;
            ssize_t len;
            while ((len = dinv_relay_stream_peek(theirs, &from)) > 0) {
                got[i] += (gsize)len;
                dinv_relay_stream_consume(theirs, (gsize)len);
            }
            ended += len == 0;
        }
    } while (moved > 0);
    g_assert_cmpuint(ended, ==, CROWD - 1);
    for (guint i = 1; i < CROWD; i++) {
        g_assert_cmpuint(got[i], ==, CROWD_SIZE);
    }
    /* The one stands with its window and its send buffer full. */
    g_assert_cmpuint(sent[0], ==, (gsize)(8 + 2) * DINV_RELAY_CHUNK_SIZE);
    g_test_message("at most %zu KiB at one end", most / 1024);
    /* Send buffers of all, the window of the one, and what one pull may bring to the others. */
    g_assert_cmpuint(most, <, CROWD * (65536 + 65536) + (4u << 20));
    for (guint i = 0; i < CROWD; i++) {
        dinv_relay_stream_close(streams[i], 0);
        dinv_relay_stream_close(relay_side_stream(&pair.guest, i), 0);
    }
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

/* Streams that wait cost next to nothing. */
static void test_idle_memory(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    gsize before = relay_memory(&pair.guest);
    DinvRelayStream *streams[CROWD];
    for (guint i = 0; i < CROWD; i++) {
        streams[i] = relay_open(&pair.launcher, "s");
        g_assert_cmpint(dinv_relay_stream_write(streams[i], "hello", 5), ==, 5);
        relay_pair_settle(&pair, 65536);
    }
    gsize each = (relay_memory(&pair.guest) - before) / CROWD;
    g_test_message("%zu bytes for a stream", each);
    g_assert_cmpuint(each, <, 1024);
    for (guint i = 0; i < CROWD; i++) {
        dinv_relay_stream_close(streams[i], 0);
        dinv_relay_stream_close(relay_side_stream(&pair.guest, i), 0);
    }
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

/* In steady state nothing is allocated. */
static void test_no_allocations(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    DinvRelayStream *streams[8];
    DinvRelayStats before[2];
    DinvRelayStats after[2];
    for (guint i = 0; i < G_N_ELEMENTS(streams); i++) {
        streams[i] = relay_open(&pair.launcher, "s");
    }
    for (guint round = 0; round < 300; round++) {
        for (guint i = 0; i < G_N_ELEMENTS(streams); i++) {
            fill(streams[i]);
        }
        relay_pair_settle(&pair, 65536);
        if (round == 10) {
            dinv_relay_mux_get_stats(pair.launcher.mux, &before[0]);
            dinv_relay_mux_get_stats(pair.guest.mux, &before[1]);
        }
    }
    dinv_relay_mux_get_stats(pair.launcher.mux, &after[0]);
    dinv_relay_mux_get_stats(pair.guest.mux, &after[1]);
    for (guint i = 0; i < 2; i++) {
        g_assert_cmpuint(after[i].bytes_in + after[i].bytes_out, >, before[i].bytes_in + 10000000);
        g_assert_cmpuint(after[i].allocations, ==, before[i].allocations);
        g_assert_cmpuint(after[i].memory, ==, before[i].memory);
    }
    for (guint i = 0; i < G_N_ELEMENTS(streams); i++) {
        dinv_relay_stream_close(streams[i], 0);
        dinv_relay_stream_close(relay_side_stream(&pair.guest, i), 0);
    }
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

/* A peer that finishes and closes at once: what it sent is still there, and writing is over. */
static void test_close_after_finish(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    pair.launcher.consume = FALSE;
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    relay_pair_settle(&pair, 65536);
    DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
    g_assert_cmpint(dinv_relay_stream_write(theirs, "answer", 6), ==, 6);
    dinv_relay_stream_finish(theirs);
    relay_pair_settle(&pair, 65536);
    g_assert_cmpint(dinv_relay_stream_write(stream, "unheard", 7), ==, 7);
    g_string_truncate(pair.launcher.log, 0);
    dinv_relay_stream_close(theirs, EPIPE);
    relay_pair_settle(&pair, 65536);
    relay_assert_log(&pair.launcher, "writable ");
    g_assert_cmpint(dinv_relay_stream_write(stream, "x", 1), ==, -EPIPE);
    const uint8_t *bytes;
    g_assert_cmpint(dinv_relay_stream_peek(stream, &bytes), ==, 6);
    g_assert_cmpint(memcmp(bytes, "answer", 6), ==, 0);
    dinv_relay_stream_consume(stream, 6);
    g_assert_cmpint(dinv_relay_stream_peek(stream, &bytes), ==, 0);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 65536);
    relay_pair_clear(&pair);
}

/* Both close at the same time, with bytes under way in both directions. */
static void test_crossing_closes(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    relay_pair_settle(&pair, 65536);
    DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
    uint8_t to_guest[4096];
    uint8_t to_launcher[4096];
    g_assert_cmpint(dinv_relay_stream_write(stream, "to the guest", 12), ==, 12);
    g_assert_cmpint(dinv_relay_stream_write(theirs, "to the launcher", 15), ==, 15);
    ssize_t guest_len = relay_pull(pair.launcher.mux, to_guest, sizeof(to_guest));
    ssize_t launcher_len = relay_pull(pair.guest.mux, to_launcher, sizeof(to_launcher));
    dinv_relay_stream_close(stream, 0);
    dinv_relay_stream_close(theirs, 0);
    /* The data now comes for streams that are closed: tolerated, before and after the RESET left.
     */
    g_assert_cmpint(dinv_relay_mux_feed(pair.guest.mux, to_guest, (gsize)guest_len), ==, 0);
    relay_move(pair.launcher.mux, pair.guest.mux, 4096);
    g_assert_cmpint(dinv_relay_mux_feed(pair.launcher.mux, to_launcher, (gsize)launcher_len), ==,
                    0);
    relay_pair_settle(&pair, 65536);
    g_assert_cmpuint(pair.guest.received + pair.launcher.received, ==, 0);
    relay_pair_clear(&pair);
}

/* A stream that is closed before its OPEN left, and one whose OPEN left in part. */
static void test_close_while_opening(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    dinv_relay_stream_close(relay_open(&pair.launcher, "never"), 0);
    g_assert_false(dinv_relay_mux_has_output(pair.launcher.mux));
    static const uint8_t argument[500];
    DinvRelayStream *stream =
        dinv_relay_open(pair.launcher.mux, "partly", argument, sizeof(argument), NULL, NULL);
    g_assert_cmpuint(relay_move(pair.launcher.mux, pair.guest.mux, 100), ==, 100);
    dinv_relay_stream_close(stream, EINTR);
    relay_pair_settle(&pair, 100);
    relay_assert_log(&pair.guest, "incoming:partly: reset:4 ");
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* A byte at a time is as good. */
static void test_pull_one_byte(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    DinvRelayStream *stream = relay_open(&pair.launcher, "s");
    static const uint8_t bytes[40000];
    g_assert_cmpint(dinv_relay_stream_write(stream, bytes, sizeof bytes), ==, sizeof bytes);
    relay_pair_settle(&pair, 1);
    g_assert_cmpuint(pair.guest.received, ==, sizeof bytes);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 1);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* In the callback the bytes are the fed ones, without a copy; what is left of them is kept. */
typedef struct {
    const uint8_t *fed;
    gsize fed_len;
    gsize take; /* bytes to consume in the callback */
    gboolean close;
    guint lent; /* how often the bytes were the fed ones */
    DinvRelayStream *stream;
} LentReader;

static void lent_incoming(void *user, DinvRelayStream *stream, const char *service,
                          const uint8_t *argument, size_t argument_len) {
    (void)service;
    (void)argument;
    (void)argument_len;
    ((LentReader *)user)->stream = stream;
    dinv_relay_stream_accept(stream);
}

static void lent_readable(void *user, DinvRelayStream *stream) {
    LentReader *reader = user;
    const uint8_t *bytes = NULL;
    ssize_t len = dinv_relay_stream_peek(stream, &bytes);
    g_assert_cmpint(len, >, 0);
    reader->lent += bytes >= reader->fed && bytes < reader->fed + reader->fed_len;
    dinv_relay_stream_consume(stream, MIN(reader->take, (gsize)len));
    if (reader->close) {
        dinv_relay_stream_close(stream, 0);
        reader->stream = NULL;
    }
}

static void test_lent_bytes(gconstpointer data) {
    static const DinvRelayCallbacks callbacks = {.incoming = lent_incoming,
                                                 .readable = lent_readable};
    gboolean close_in_callback = GPOINTER_TO_INT(data);
    RelaySide side;
    LentReader reader = {.take = 3, .close = close_in_callback};
    relay_side_init(&side, DINV_RELAY_LAUNCHER, 1, NULL);
    DinvRelayMux *mux = dinv_relay_mux_new(DINV_RELAY_GUEST, 2, NULL, &callbacks, &reader);
    DinvRelayStream *stream = relay_open(&side, "docker");
    while (relay_move(side.mux, mux, 65536) + relay_move(mux, side.mux, 65536) > 0) {
    }
    g_assert_cmpint(dinv_relay_stream_write(stream, "0123456789", 10), ==, 10);
    uint8_t wire[256];
    ssize_t len = relay_pull(side.mux, wire, sizeof wire);
    reader.fed = wire;
    reader.fed_len = (gsize)len;
    g_assert_cmpint(dinv_relay_mux_feed(mux, wire, (size_t)len), ==, 0);
    memset(wire, 0, sizeof wire);
    g_assert_cmpuint(reader.lent, ==, 1);
    if (!close_in_callback) {
        const uint8_t *bytes = NULL;
        g_assert_cmpint(dinv_relay_stream_peek(reader.stream, &bytes), ==, 7);
        g_assert_cmpint(memcmp(bytes, "3456789", 7), ==, 0);
        dinv_relay_stream_close(reader.stream, 0);
    }
    while (relay_move(side.mux, mux, 65536) + relay_move(mux, side.mux, 65536) > 0) {
    }
    dinv_relay_stream_close(stream, 0);
    DinvRelayStats stats;
    dinv_relay_mux_get_stats(mux, &stats);
    g_assert_cmpuint(stats.streams, ==, 0);
    dinv_relay_mux_free(mux);
    relay_side_clear(&side);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/mux/open-accept-close", test_open_accept_close);
    g_test_add_func("/relay/mux/open-arguments", test_open_arguments);
    g_test_add_func("/relay/mux/refuse", test_refuse);
    g_test_add_func("/relay/mux/no-services", test_no_services);
    g_test_add_func("/relay/mux/max-streams", test_max_streams);
    g_test_add_func("/relay/mux/credit", test_credit);
    g_test_add_func("/relay/mux/uncut", test_uncut);
    g_test_add_func("/relay/mux/window-grows", test_window_grows);
    g_test_add_func("/relay/mux/reserve", test_reserve);
    g_test_add_func("/relay/mux/leaves-uncopied", test_leaves_uncopied);
    g_test_add_func("/relay/mux/tiny-limits", test_tiny_limits);
    g_test_add_func("/relay/mux/turns", test_turns);
    g_test_add_func("/relay/mux/one-never-read", test_one_never_read);
    g_test_add_func("/relay/mux/idle-memory", test_idle_memory);
    g_test_add_func("/relay/mux/no-allocations", test_no_allocations);
    g_test_add_func("/relay/mux/close-after-finish", test_close_after_finish);
    g_test_add_func("/relay/mux/crossing-closes", test_crossing_closes);
    g_test_add_func("/relay/mux/close-while-opening", test_close_while_opening);
    g_test_add_func("/relay/mux/pull-one-byte", test_pull_one_byte);
    g_test_add_data_func("/relay/mux/lent-bytes", GINT_TO_POINTER(FALSE), test_lent_bytes);
    g_test_add_data_func("/relay/mux/lent-bytes-and-close", GINT_TO_POINTER(TRUE), test_lent_bytes);
    return g_test_run();
}

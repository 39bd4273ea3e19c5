/* SPDX-License-Identifier: MIT */
/* How much flows between two muxes, and what it costs: credit, windows, turns, copies, memory. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "relay/mux-internal.h"
#include "tests/unit/lib/relay-pair.h"

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

/* Closes both ends of the streams that the launcher opened first, and the pair. */
static void close_all(RelayPair *pair, DinvRelayStream *const *streams, guint count) {
    for (guint i = 0; i < count; i++) {
        dinv_relay_stream_close(streams[i], 0);
        dinv_relay_stream_close(relay_side_stream(&pair->guest, i), 0);
    }
    relay_pair_settle(pair, 65536);
    relay_pair_clear(pair);
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
    close_all(&pair, streams, 4);
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
    close_all(&pair, streams, CROWD);
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
    close_all(&pair, streams, CROWD);
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
    close_all(&pair, streams, G_N_ELEMENTS(streams));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/flow/credit", test_credit);
    g_test_add_func("/relay/flow/uncut", test_uncut);
    g_test_add_func("/relay/flow/window-grows", test_window_grows);
    g_test_add_func("/relay/flow/reserve", test_reserve);
    g_test_add_func("/relay/flow/leaves-uncopied", test_leaves_uncopied);
    g_test_add_func("/relay/flow/tiny-limits", test_tiny_limits);
    g_test_add_func("/relay/flow/turns", test_turns);
    g_test_add_func("/relay/flow/one-never-read", test_one_never_read);
    g_test_add_func("/relay/flow/idle-memory", test_idle_memory);
    g_test_add_func("/relay/flow/no-allocations", test_no_allocations);
    return g_test_run();
}

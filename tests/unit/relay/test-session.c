/* SPDX-License-Identifier: MIT */
/* The session between two muxes: hellos, restarts on a transport that holds old bytes, and what
 * breaks the protocol. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "tests/unit/lib/relay-pair.h"

/* Opens before the peer is there wait for it. */
static void test_open_before_hello(void) {
    RelayPair pair;
    relay_side_init(&pair.launcher, DINV_RELAY_LAUNCHER, 1, NULL);
    relay_side_init(&pair.guest, DINV_RELAY_GUEST, 2, NULL);
    g_assert_false(relay_is_connected(pair.launcher.mux));
    DinvRelayStream *stream = relay_open(&pair.launcher, "early");
    g_assert_cmpint(dinv_relay_stream_write(stream, "bird", 4), ==, 4);
    /* A lone side says its hello and then nothing. */
    uint8_t buffer[100000];
    g_assert_cmpint(relay_pull(pair.launcher.mux, buffer, sizeof(buffer)), ==,
                    DINV_RELAY_PADDING + DINV_RELAY_HELLO_SIZE);
    g_assert_false(dinv_relay_mux_has_output(pair.launcher.mux));
    /* That hello is lost altogether; the guest's own brings them together. */
    relay_pair_settle(&pair, 64);
    g_assert_true(relay_is_connected(pair.launcher.mux));
    relay_assert_log(&pair.launcher, "opened ");
    g_assert_cmpuint(pair.guest.received, ==, 4);
    dinv_relay_stream_close(stream, 0);
    relay_pair_settle(&pair, 65536);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* A stream works, both ways; whatever went before. */
static void assert_works(RelayPair *pair) {
    relay_pair_settle(pair, 65536);
    g_assert_true(relay_is_connected(pair->launcher.mux));
    g_assert_true(relay_is_connected(pair->guest.mux));
    g_string_truncate(pair->launcher.log, 0);
    g_string_truncate(pair->guest.log, 0);
    g_ptr_array_set_size(pair->guest.incoming, 0);
    pair->guest.received = pair->launcher.received = 0;
    DinvRelayStream *stream = relay_open(&pair->launcher, "again");
    g_assert_cmpint(dinv_relay_stream_write(stream, "there", 5), ==, 5);
    relay_pair_settle(pair, 65536);
    relay_assert_log(&pair->guest, "incoming:again: ");
    DinvRelayStream *theirs = relay_side_stream(&pair->guest, 0);
    g_assert_cmpint(dinv_relay_stream_write(theirs, "and back", 8), ==, 8);
    relay_pair_settle(pair, 65536);
    g_assert_cmpuint(pair->guest.received, ==, 5);
    g_assert_cmpuint(pair->launcher.received, ==, 8);
    dinv_relay_stream_close(stream, 0);
    dinv_relay_stream_close(theirs, 0);
    relay_pair_settle(pair, 65536);
}

static void test_restart(void) {
    for (guint who = 0; who < 3; who++) { /* the launcher, the guest, both */
        RelayPair pair;
        relay_pair_init(&pair, NULL);
        DinvRelayStream *ours = relay_open(&pair.launcher, "a");
        DinvRelayStream *guests = relay_open(&pair.guest, "b");
        relay_pair_settle(&pair, 65536);
        DinvRelayStream *waiting = relay_open(&pair.launcher, "c"); /* has not left */
        g_string_truncate(pair.launcher.log, 0);
        g_string_truncate(pair.guest.log, 0);
        if (who != 1) {
            dinv_relay_mux_restart(pair.launcher.mux, 0x3333);
            relay_assert_log(&pair.launcher, "reset:104 reset:104 reset:104 ");
        }
        if (who != 0) {
            dinv_relay_mux_restart(pair.guest.mux, 0x4444);
            relay_assert_log(&pair.guest, "reset:104 reset:104 ");
        }
        relay_pair_settle(&pair, 65536);
        relay_assert_log(&pair.launcher, who == 1 ? "reset:104 reset:104 reset:104 " : "");
        relay_assert_log(&pair.guest, who == 0 ? "reset:104 reset:104 " : "");
        g_assert_cmpint(dinv_relay_stream_write(ours, "x", 1), ==, -ECONNRESET);
        assert_works(&pair); /* while the broken handles are still there */
        dinv_relay_stream_close(ours, 0);
        dinv_relay_stream_close(waiting, 0);
        dinv_relay_stream_close(guests, 0);
        /* The other two ends went out of the arrays' sight: one at each side. */
        DinvRelayStats stats;
        dinv_relay_mux_get_stats(pair.guest.mux, &stats);
        g_assert_cmpuint(stats.streams, ==, 1);
        dinv_relay_stream_close(relay_side_stream(&pair.launcher, 0), 0);
        dinv_relay_mux_restart(pair.guest.mux, 0x5555);
        assert_works(&pair);
        dinv_relay_mux_free(pair.guest.mux); /* with its last handle */
        pair.guest.mux = dinv_relay_mux_new(DINV_RELAY_GUEST, 9, NULL, &relay_callbacks, NULL);
        relay_pair_clear(&pair);
    }
}

/* A new launcher on the transport of an old one, which died in the middle of a frame. What the old
 * one had sent comes first, and the guest's bytes for the old one are still there to be read. */
static void test_new_launcher(void) {
    for (guint cut = 1; cut < 3000; cut += 7) {
        RelayPair pair;
        relay_pair_init(&pair, NULL);
        pair.guest.consume = FALSE;
        pair.launcher.consume = FALSE;
        DinvRelayStream *stream = relay_open(&pair.launcher, "s");
        relay_pair_settle(&pair, 65536);
        DinvRelayStream *theirs = relay_side_stream(&pair.guest, 0);
        static uint8_t bytes[2900];
        memset(bytes, 0xd1, sizeof(bytes)); /* much like the beginning of a hello */
        g_assert_cmpint(dinv_relay_stream_write(stream, bytes, sizeof(bytes)), ==, sizeof(bytes));
        g_assert_cmpint(dinv_relay_stream_write(theirs, bytes, sizeof(bytes)), ==, sizeof(bytes));
        uint8_t old_output[8192];
        uint8_t old_input[8192];
        ssize_t output_len = relay_pull(pair.launcher.mux, old_output, sizeof(old_output));
        ssize_t input_len = relay_pull(pair.guest.mux, old_input, sizeof(old_input));
        g_assert_cmpint(output_len, ==, 2908);
        gsize kept = MIN(cut, (gsize)output_len);
        /* A header that is cut off and filled with zeros may name another stream: that is a
         * protocol error, which the guest answers by starting anew. */
        int result = dinv_relay_mux_feed(pair.guest.mux, old_output, kept);
        g_assert_cmpint(result, ==, 0);

        dinv_relay_stream_close(stream, 0);
        relay_side_clear(&pair.launcher);
        relay_side_init(&pair.launcher, DINV_RELAY_LAUNCHER, 0x7777, NULL);
        g_assert_cmpint(dinv_relay_mux_feed(pair.launcher.mux, old_input + cut % 50,
                                            (gsize)input_len - cut % 50),
                        ==, 0);
        g_string_truncate(pair.guest.log, 0);

        static uint8_t hello[100000];
        ssize_t len = relay_pull(pair.launcher.mux, hello, sizeof(hello));
        if (dinv_relay_mux_feed(pair.guest.mux, hello, (gsize)len) < 0) {
            g_assert_cmpuint(cut, <, DINV_RELAY_HEADER_SIZE);
            g_assert_nonnull(strstr(pair.guest.log->str, "reset:71 "));
            dinv_relay_mux_restart(pair.guest.mux, 0x8888);
        } else {
            g_assert_nonnull(strstr(pair.guest.log->str, "reset:104 "));
        }
        pair.guest.consume = pair.launcher.consume = TRUE;
        assert_works(&pair);
        dinv_relay_stream_close(theirs, 0);
        relay_pair_clear(&pair);
    }
}

static void put_hello(GByteArray *bytes, const DinvRelayHello *hello) {
    uint8_t frame[DINV_RELAY_HELLO_SIZE];
    dinv_relay_hello_encode(frame, hello);
    g_byte_array_append(bytes, frame, sizeof(frame));
}

/* Hellos of the dead, forged hellos, and frames that look right: nothing of it is believed. */
static void test_forged_leftovers(void) {
    RelayPair pair;
    relay_side_init(&pair.launcher, DINV_RELAY_LAUNCHER, 0x1111, NULL);
    relay_side_init(&pair.guest, DINV_RELAY_GUEST, 0x2222, NULL);
    g_autoptr(GByteArray) old = g_byte_array_new();
    DinvRelayHello hello = {.version = 1, .role = DINV_RELAY_LAUNCHER, .window = 100, .epoch = 5};
    put_hello(old, &hello);
    hello.answering = true;
    hello.answers = 0x2221;
    put_hello(old, &hello);
    hello.version = 7; /* of a version that does not exist */
    put_hello(old, &hello);
    hello.version = 1;
    hello.role = DINV_RELAY_GUEST; /* an echo, with the right answer even */
    hello.answers = 0x2222;
    put_hello(old, &hello);
    static const uint8_t open[] = {DINV_RELAY_FRAME_OPEN, 0, 0, 2, 0, 0, 0, 2, 1, 's'};
    g_byte_array_append(old, open, sizeof(open));
    g_assert_cmpint(dinv_relay_mux_feed(pair.guest.mux, old->data, old->len), ==, 0);
    g_assert_false(relay_is_connected(pair.guest.mux));
    relay_assert_log(&pair.guest, "");
    assert_works(&pair);
    relay_pair_clear(&pair);
}

/* A hello that does not answer is answered each time: the answer to the first may have been lost.
 */
static void test_answered_each_time(void) {
    RelaySide side;
    relay_side_init(&side, DINV_RELAY_GUEST, 0x2222, NULL);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    put_hello(bytes, &(DinvRelayHello){
                         .version = 1, .role = DINV_RELAY_LAUNCHER, .window = 100, .epoch = 5});
    static uint8_t output[100000];
    g_assert_cmpint(relay_pull(side.mux, output, sizeof(output)), >, 0);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(dinv_relay_mux_feed(side.mux, bytes->data, bytes->len), ==, 0);
        g_assert_cmpint(relay_pull(side.mux, output, sizeof(output)), ==, DINV_RELAY_HELLO_SIZE);
        DinvRelayHello answer;
        g_assert_true(dinv_relay_hello_decode(output, &answer));
        g_assert_true(answer.answering);
        g_assert_cmpuint(answer.answers, ==, 5);
        g_assert_cmpuint(answer.epoch, ==, 0x2222);
    }
    relay_side_clear(&side);
}

/* What was half sent before a restart does not go on after it. */
static void test_restart_in_open(void) {
    RelayPair pair;
    relay_pair_init(&pair, NULL);
    static const uint8_t argument[500] = {1, 2, 3};
    DinvRelayStream *stream =
        dinv_relay_open(pair.launcher.mux, "s", argument, sizeof(argument), NULL, NULL);
    static uint8_t output[100000];
    g_assert_cmpint(relay_pull(pair.launcher.mux, output, 100), ==, 100);
    dinv_relay_mux_restart(pair.launcher.mux, 0x3333);
    g_assert_cmpint(relay_pull(pair.launcher.mux, output, sizeof(output)), ==,
                    DINV_RELAY_PADDING + DINV_RELAY_HELLO_SIZE);
    for (gsize i = 0; i < DINV_RELAY_PADDING; i++) {
        g_assert_cmpuint(output[i], ==, 0);
    }
    dinv_relay_stream_close(stream, 0);
    dinv_relay_mux_restart(pair.launcher.mux, 0x4444);
    assert_works(&pair);
    relay_pair_clear(&pair);
}

static void test_other_version(void) {
    RelaySide side;
    relay_side_init(&side, DINV_RELAY_GUEST, 0x2222, NULL);
    DinvRelayStream *stream = relay_open(&side, "s");
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    put_hello(bytes, &(DinvRelayHello){.version = 2,
                                       .role = DINV_RELAY_LAUNCHER,
                                       .window = 100,
                                       .epoch = 5,
                                       .answering = true,
                                       .answers = 0x2222});
    g_assert_cmpint(dinv_relay_mux_feed(side.mux, bytes->data, bytes->len), ==, -EPROTO);
    relay_assert_log(&side, "reset:71 ");
    dinv_relay_stream_close(stream, 0);
    relay_side_clear(&side);
}

/* A frame, from its type, stream and a payload. */
#define FRAME(type, length, stream, ...)                                                           \
    { type, (length) >> 16, ((length) >> 8) & 0xff, (length)&0xff, 0, 0, 0, stream, __VA_ARGS__ }

/* What a launcher with an accepted stream 1 (window 1000) and a closed stream 3 must not be sent.
 */
static const struct {
    const char *name;
    gsize len;
    uint8_t bytes[64];
    int result;
} frames[] = {
    {"unknown type", 8, FRAME(0x08, 0, 1, ), -EPROTO},
    {"oversize data", 8, FRAME(DINV_RELAY_FRAME_DATA, 65537, 1, ), -EPROTO},
    {"empty data", 8, FRAME(DINV_RELAY_FRAME_DATA, 0, 1, ), -EPROTO},
    {"data beyond the credit", 8, FRAME(DINV_RELAY_FRAME_DATA, 1001, 1, ), -EPROTO},
    {"data within the credit", 10, FRAME(DINV_RELAY_FRAME_DATA, 2, 1, 'a', 'b'), 0},
    {"data on stream 0", 10, FRAME(DINV_RELAY_FRAME_DATA, 2, 0, 'a', 'b'), -EPROTO},
    {"data on a stream never opened by them", 10, FRAME(DINV_RELAY_FRAME_DATA, 2, 5, 'a', 'b'),
     -EPROTO},
    {"data on a stream never opened by us", 10, FRAME(DINV_RELAY_FRAME_DATA, 2, 2, 'a', 'b'),
     -EPROTO},
    {"data on a closed stream", 10, FRAME(DINV_RELAY_FRAME_DATA, 2, 3, 'a', 'b'), 0},
    {"fin on a closed stream", 8, FRAME(DINV_RELAY_FRAME_FIN, 0, 3, ), 0},
    {"credit on a closed stream", 12, FRAME(DINV_RELAY_FRAME_CREDIT, 4, 3, 0, 0, 0, 1), 0},
    {"reset on a closed stream", 12, FRAME(DINV_RELAY_FRAME_RESET, 4, 3, 0, 0, 0, 1), 0},
    {"credit of 0", 12, FRAME(DINV_RELAY_FRAME_CREDIT, 4, 1, 0, 0, 0, 0), -EPROTO},
    {"credit above the largest", 12, FRAME(DINV_RELAY_FRAME_CREDIT, 4, 1, 0x40, 0, 0, 0), -EPROTO},
    {"credit with a wrong length", 11, FRAME(DINV_RELAY_FRAME_CREDIT, 3, 1, 0, 0, 0), -EPROTO},
    {"fin with a payload", 9, FRAME(DINV_RELAY_FRAME_FIN, 1, 1, 0), -EPROTO},
    {"an open of the wrong parity", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 6, 1, 's'), -EPROTO},
    {"an open of stream 0", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 0, 1, 's'), -EPROTO},
    {"an open of a used id", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 3, 1, 's'), -EPROTO},
    {"an open without a name", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 5, 0, 's'), -EPROTO},
    {"an open with a name beyond its end", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 5, 2, 's'), -EPROTO},
    {"an open with a long name", 42, FRAME(DINV_RELAY_FRAME_OPEN, 34, 5, 33, 's'), -EPROTO},
    {"an open with a NUL", 11, FRAME(DINV_RELAY_FRAME_OPEN, 3, 5, 2, 's', 0), -EPROTO},
    {"an open that is right", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 5, 1, 's'), 0},
    {"an open with a gap in the ids", 10, FRAME(DINV_RELAY_FRAME_OPEN, 2, 11, 1, 's'), 0},
    {"padding", 5, {0}, 0},
    {"hello without magic", 48, FRAME(DINV_RELAY_FRAME_HELLO, 40, 0, 0), -EPROTO},
    {"accept of their own stream", 8, FRAME(DINV_RELAY_FRAME_ACCEPT, 0, 1, ), -EPROTO},
    {"reset with errno 0", 12, FRAME(DINV_RELAY_FRAME_RESET, 4, 1, 0, 0, 0, 0), 0},
};

/* A launcher whose guest has said hello, opened streams 1 and 3, and reset the latter. */
static void begin_session(RelaySide *side) {
    static const DinvRelayLimits limits = {.window = 1000};
    relay_side_init(side, DINV_RELAY_LAUNCHER, 0x1111, &limits);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    put_hello(bytes, &(DinvRelayHello){.version = 1,
                                       .role = DINV_RELAY_GUEST,
                                       .window = 1000,
                                       .epoch = 5,
                                       .answering = true,
                                       .answers = 0x1111});
    static const uint8_t open_1[] = FRAME(DINV_RELAY_FRAME_OPEN, 2, 1, 1, 's');
    static const uint8_t open_3[] = FRAME(DINV_RELAY_FRAME_OPEN, 2, 3, 1, 's');
    static const uint8_t reset_3[] = FRAME(DINV_RELAY_FRAME_RESET, 4, 3, 0, 0, 0, 1);
    g_byte_array_append(bytes, open_1, sizeof(open_1));
    g_byte_array_append(bytes, open_3, sizeof(open_3));
    g_byte_array_append(bytes, reset_3, sizeof(reset_3));
    g_assert_cmpint(dinv_relay_mux_feed(side->mux, bytes->data, bytes->len), ==, 0);
    dinv_relay_stream_close(relay_side_stream(side, 1), 0);
    g_string_truncate(side->log, 0);
}

/* A mux whose peer broke the protocol takes and gives nothing until it is restarted. */
static void check_dead(RelaySide *side) {
    uint8_t buffer[64];
    relay_assert_log(side, "reset:71 ");
    g_assert_cmpint(dinv_relay_mux_feed(side->mux, buffer, 1), ==, -EPROTO);
    g_assert_cmpint(relay_pull(side->mux, buffer, sizeof(buffer)), ==, -EPROTO);
    g_assert_false(dinv_relay_mux_has_output(side->mux));
    int error = 0;
    g_assert_null(dinv_relay_open(side->mux, "s", NULL, 0, NULL, &error));
    g_assert_cmpint(error, ==, -EPROTO);
    dinv_relay_mux_restart(side->mux, 0x1112);
    g_assert_true(dinv_relay_mux_has_output(side->mux));
}

static void play_frame(gsize index, gboolean bytewise) {
    RelaySide side;
    begin_session(&side);
    int result = 0;
    gsize step = bytewise ? 1 : frames[index].len;
    for (gsize at = 0; at < frames[index].len && result == 0; at += step) {
        result = dinv_relay_mux_feed(side.mux, frames[index].bytes + at, step);
    }
    g_test_message("%s", frames[index].name);
    g_assert_cmpint(result, ==, frames[index].result);
    if (result < 0) {
        check_dead(&side);
    }
    for (guint i = 0; i < side.incoming->len; i++) {
        if (i != 1) {
            dinv_relay_stream_close(relay_side_stream(&side, i), 0);
        }
    }
    relay_side_clear(&side);
}

static void test_frames(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(frames); i++) {
        play_frame(i, FALSE);
        play_frame(i, TRUE);
    }
}

/* A peer that opens without end, but never reads the refusals, is cut off; its memory is bounded.
 */
static void test_open_flood(void) {
    RelayPair pair;
    relay_pair_init(&pair, &(DinvRelayLimits){.max_streams = 1});
    int result = 0;
    uint32_t count = 0;
    gsize before = relay_memory(&pair.guest);
    while (result == 0) {
        uint8_t frame[DINV_RELAY_HEADER_SIZE + 2] = {0};
        dinv_relay_header_encode(frame, DINV_RELAY_FRAME_OPEN, 2, 2 + 2 * count);
        frame[DINV_RELAY_HEADER_SIZE] = 1;
        frame[DINV_RELAY_HEADER_SIZE + 1] = 's';
        result = dinv_relay_mux_feed(pair.guest.mux, frame, sizeof(frame));
        count++;
        /* A refusal that has become pointless is not kept. */
        if (count % 2 == 0 && result == 0) {
            uint8_t reset[DINV_RELAY_HEADER_SIZE + 4] = {0};
            dinv_relay_header_encode(reset, DINV_RELAY_FRAME_RESET, 4, 2 * count);
            g_assert_cmpint(dinv_relay_mux_feed(pair.guest.mux, reset, sizeof(reset)), ==, 0);
        }
    }
    g_assert_cmpint(result, ==, -EPROTO);
    g_assert_cmpuint(count, ==, 2 * 4096 + 1 + 1);
    g_assert_cmpuint(relay_memory(&pair.guest), <, before + 65536);
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    relay_pair_clear(&pair);
}

/* What one is told by `reset` when the session is lost may close and open streams. */
static void reset_closes_all(void *user, DinvRelayStream *stream, int error) {
    RelaySide *side = user;
    (void)stream;
    relay_on_reset(user, stream, error);
    for (guint i = 0; i < side->incoming->len; i++) {
        dinv_relay_stream_close(relay_side_stream(side, i), 0);
    }
    g_ptr_array_set_size(side->incoming, 0);
    g_ptr_array_add(side->incoming, relay_open(side, "next"));
}

static void test_close_in_reset(void) {
    RelayPair pair;
    DinvRelayCallbacks callbacks = relay_callbacks;
    callbacks.reset = reset_closes_all;
    relay_side_init(&pair.launcher, DINV_RELAY_LAUNCHER, 1, NULL);
    relay_side_init(&pair.guest, DINV_RELAY_GUEST, 2, NULL);
    dinv_relay_mux_free(pair.guest.mux);
    pair.guest.mux = dinv_relay_mux_new(DINV_RELAY_GUEST, 2, NULL, &callbacks, &pair.guest);
    DinvRelayStream *streams[5];
    for (guint i = 0; i < 5; i++) {
        streams[i] = relay_open(&pair.launcher, "s");
    }
    relay_pair_settle(&pair, 65536);
    g_string_truncate(pair.guest.log, 0);
    dinv_relay_mux_restart(pair.guest.mux, 3);
    /* The first one told closed the others: they are not told. */
    relay_assert_log(&pair.guest, "reset:104 ");
    relay_pair_settle(&pair, 65536);
    g_assert_true(g_str_has_suffix(pair.launcher.log->str, "incoming:next: "));
    dinv_relay_stream_close(relay_side_stream(&pair.guest, 0), 0);
    for (guint i = 0; i < 5; i++) {
        dinv_relay_stream_close(streams[i], 0);
    }
    dinv_relay_stream_close(relay_side_stream(&pair.launcher, 0), 0);
    relay_pair_clear(&pair);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/session/open-before-hello", test_open_before_hello);
    g_test_add_func("/relay/session/restart", test_restart);
    g_test_add_func("/relay/session/new-launcher", test_new_launcher);
    g_test_add_func("/relay/session/forged-leftovers", test_forged_leftovers);
    g_test_add_func("/relay/session/answered-each-time", test_answered_each_time);
    g_test_add_func("/relay/session/restart-in-open", test_restart_in_open);
    g_test_add_func("/relay/session/other-version", test_other_version);
    g_test_add_func("/relay/session/frames", test_frames);
    g_test_add_func("/relay/session/open-flood", test_open_flood);
    g_test_add_func("/relay/session/close-in-reset", test_close_in_reset);
    return g_test_run();
}

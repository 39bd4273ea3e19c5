/* SPDX-License-Identifier: MIT */
/*
 * Streams between two muxes: opening, bytes and ends. How much may flow is in test-flow.c, the
 * session (hellos, restarts, protocol errors) in test-session.c.
 */
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
    /* Data that comes for closed streams is tolerated, before and after the RESET left. */
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
    g_test_add_func("/relay/mux/close-after-finish", test_close_after_finish);
    g_test_add_func("/relay/mux/crossing-closes", test_crossing_closes);
    g_test_add_func("/relay/mux/close-while-opening", test_close_while_opening);
    g_test_add_func("/relay/mux/pull-one-byte", test_pull_one_byte);
    g_test_add_data_func("/relay/mux/lent-bytes", GINT_TO_POINTER(FALSE), test_lent_bytes);
    g_test_add_data_func("/relay/mux/lent-bytes-and-close", GINT_TO_POINTER(TRUE), test_lent_bytes);
    return g_test_run();
}

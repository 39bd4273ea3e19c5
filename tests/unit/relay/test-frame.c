/* SPDX-License-Identifier: MIT */
/* Headers and hellos as bytes, and the search for a hello among others. */
#include <glib.h>
#include <string.h>

#include "relay/frame.h"

static const DinvRelayHello example = {
    .version = 1,
    .role = 1,
    .answering = true,
    .window = 0x01020304,
    .epoch = 0x1122334455667788,
    .answers = 0x99aabbccddeeff00,
};

static void assert_is_example(const DinvRelayHello *hello) {
    g_assert_cmpuint(hello->version, ==, example.version);
    g_assert_cmpuint(hello->role, ==, example.role);
    g_assert_true(hello->answering);
    g_assert_cmpuint(hello->window, ==, example.window);
    g_assert_cmpuint(hello->epoch, ==, example.epoch);
    g_assert_cmpuint(hello->answers, ==, example.answers);
}

/* The bytes that docs/relay-protocol.md promises; the CRC was computed with zlib. */
static void test_hello_bytes(void) {
    static const uint8_t expected[DINV_RELAY_HELLO_SIZE] = {
        0xd1, 0,    0,    0x28, 'd',  'i',  'n',  'v',  'r',  'e',  'l',  'a',
        'y',  '\r', '\n', 0x1a, 0,    1,    1,    1,    1,    2,    3,    4,
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
        0xdd, 0xee, 0xff, 0,    0,    0,    0,    0,    0x7c, 0xd3, 0xf3, 0xf4};
    uint8_t bytes[DINV_RELAY_HELLO_SIZE];
    dinv_relay_hello_encode(bytes, &example);
    g_assert_cmpint(memcmp(bytes, expected, sizeof(expected)), ==, 0);
    DinvRelayHello hello;
    g_assert_true(dinv_relay_hello_decode(bytes, &hello));
    assert_is_example(&hello);
}

/* No single changed byte passes. */
static void test_hello_damaged(void) {
    uint8_t bytes[DINV_RELAY_HELLO_SIZE];
    DinvRelayHello hello;
    dinv_relay_hello_encode(bytes, &example);
    for (gsize i = 0; i < sizeof(bytes); i++) {
        bytes[i] ^= 0x40;
        g_assert_false(dinv_relay_hello_decode(bytes, &hello));
        bytes[i] ^= 0x40;
    }
}

static void test_header(void) {
    uint8_t bytes[DINV_RELAY_HEADER_SIZE];
    DinvRelayHeader header;
    dinv_relay_header_encode(bytes, DINV_RELAY_FRAME_DATA, 0x010000, 0xa1b2c3d4);
    g_assert_true(dinv_relay_header_decode(bytes, &header));
    g_assert_cmpuint(header.type, ==, DINV_RELAY_FRAME_DATA);
    g_assert_cmpuint(header.length, ==, 65536);
    g_assert_cmpuint(header.stream, ==, 0xa1b2c3d4);
}

static void test_header_lengths(void) {
    static const struct {
        uint8_t type;
        uint32_t shortest, longest; /* longest 0 and shortest 1: no length will do */
    } rules[] = {
        {DINV_RELAY_FRAME_OPEN, 2, 32801},
        {DINV_RELAY_FRAME_ACCEPT, 0, 0},
        {DINV_RELAY_FRAME_REFUSED, 4, 4},
        {DINV_RELAY_FRAME_DATA, 1, 65536},
        {DINV_RELAY_FRAME_CREDIT, 4, 4},
        {DINV_RELAY_FRAME_FIN, 0, 0},
        {DINV_RELAY_FRAME_RESET, 4, 4},
        {DINV_RELAY_FRAME_HELLO, 40, 40},
        {0x08, 1, 0},
        {0xff, 1, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
        for (uint32_t length = 0; length < 70000; length++) {
            uint8_t bytes[DINV_RELAY_HEADER_SIZE];
            DinvRelayHeader header;
            dinv_relay_header_encode(bytes, rules[i].type, length, 1);
            g_assert_cmpint(dinv_relay_header_decode(bytes, &header), ==,
                            length >= rules[i].shortest && length <= rules[i].longest);
        }
    }
}

/* Feeds `bytes` in pieces of `piece`; returns how many hellos were found, and where the last ended.
 */
static guint find_all(const uint8_t *bytes, gsize len, gsize piece, gsize *end) {
    DinvRelayHelloFinder finder = {0};
    guint count = 0;
    for (gsize at = 0; at < len;) {
        gsize part = MIN(piece, len - at);
        DinvRelayHello hello;
        bool found;
        gsize used = dinv_relay_hello_find(&finder, bytes + at, part, &hello, &found);
        g_assert_cmpuint(used, >, 0);
        g_assert_cmpuint(used, <=, part);
        at += used;
        if (found) {
            assert_is_example(&hello);
            count++;
            *end = at;
        }
    }
    return count;
}

/* Whatever comes before it, the hello is found, and its end exactly. */
static void test_find(void) {
    uint8_t hello[DINV_RELAY_HELLO_SIZE];
    dinv_relay_hello_encode(hello, &example);
    for (gsize cut = 0; cut < sizeof(hello); cut++) {
        for (gsize piece = 1; piece <= 100; piece += 7) {
            g_autoptr(GByteArray) bytes = g_byte_array_new();
            /* A hello that breaks off, then a whole one, then something after it. */
            g_byte_array_append(bytes, hello, (guint)cut);
            g_byte_array_append(bytes, hello, sizeof(hello));
            g_byte_array_append(bytes, hello, 20);
            gsize end = 0;
            g_assert_cmpuint(find_all(bytes->data, bytes->len, piece, &end), ==, 1);
            g_assert_cmpuint(end, ==, cut + sizeof(hello));
        }
    }
}

/* A wrong hello whose fields contain the beginning of a right one. */
static void test_find_within_damaged(void) {
    uint8_t hello[DINV_RELAY_HELLO_SIZE];
    dinv_relay_hello_encode(hello, &example);
    for (gsize offset = 16; offset < sizeof(hello); offset++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_byte_array_append(bytes, hello, (guint)offset);
        g_byte_array_append(bytes, hello, sizeof(hello));
        gsize end = 0;
        g_assert_cmpuint(find_all(bytes->data, bytes->len, 3, &end), ==, 1);
        g_assert_cmpuint(end, ==, offset + sizeof(hello));
    }
}

static void test_find_in_noise(void) {
    uint8_t hello[DINV_RELAY_HELLO_SIZE];
    dinv_relay_hello_encode(hello, &example);
    for (guint round = 0; round < 200; round++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        guint noise = (guint)g_test_rand_int_range(0, 500);
        for (guint i = 0; i < noise; i++) {
            uint8_t byte = hello[g_test_rand_int_range(0, 20)]; /* much like the magic */
            g_byte_array_append(bytes, &byte, 1);
        }
        g_byte_array_append(bytes, hello, sizeof(hello));
        gsize end = 0;
        g_assert_cmpuint(
            find_all(bytes->data, bytes->len, (gsize)g_test_rand_int_range(1, 60), &end), ==, 1);
        g_assert_cmpuint(end, ==, noise + sizeof(hello));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/frame/hello-bytes", test_hello_bytes);
    g_test_add_func("/relay/frame/hello-damaged", test_hello_damaged);
    g_test_add_func("/relay/frame/header", test_header);
    g_test_add_func("/relay/frame/header-lengths", test_header_lengths);
    g_test_add_func("/relay/frame/find", test_find);
    g_test_add_func("/relay/frame/find-within-damaged", test_find_within_damaged);
    g_test_add_func("/relay/frame/find-in-noise", test_find_in_noise);
    return g_test_run();
}

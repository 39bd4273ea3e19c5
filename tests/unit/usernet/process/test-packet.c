/* SPDX-License-Identifier: MIT */
/* Frames taken apart, fragments put together, and the command line. */
#include <arpa/inet.h>
#include <glib.h>
#include <string.h>

#include "usernet/process/arguments.h"
#include "usernet/process/packet.h"
#include "usernet/process/reassembly.h"

#define HEADERS (DINV_USERNET_ETHERNET_SIZE + DINV_USERNET_IPV4_SIZE)

static const guint8 macs[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* A frame with `len` bytes of body, each with its number. */
static void make_frame(guint8 *frame, gsize len, gsize offset, gboolean more, guint16 id) {
    DinvUsernetHeader header = {.source_mac = macs + 6,
                                .destination_mac = macs,
                                .source = htonl(0x0a00020f),
                                .destination = htonl(0x0a000202),
                                .protocol = DINV_USERNET_PROTOCOL_UDP,
                                .id = id,
                                .fragment_offset = offset,
                                .more_fragments = more};
    dinv_usernet_header_write(frame, &header, len);
    for (gsize i = 0; i < len; i++) {
        frame[HEADERS + i] = (guint8)((offset + i) % 251);
    }
}

static void test_parse(void) {
    guint8 frame[HEADERS + 30];
    DinvUsernetPacket packet;
    make_frame(frame, 30, 64, TRUE, 7);
    g_assert_cmpuint(dinv_usernet_checksum(frame + 14, 20, 0), ==, 0);
    g_assert_true(dinv_usernet_packet_parse(frame, sizeof(frame), &packet));
    g_assert_cmpuint(packet.source, ==, htonl(0x0a00020f));
    g_assert_cmpuint(packet.destination, ==, htonl(0x0a000202));
    g_assert_cmpuint(packet.fragment_offset, ==, 64);
    g_assert_true(packet.more_fragments);
    g_assert_cmpuint(packet.id, ==, 7);
    g_assert_cmpuint(packet.body_len, ==, 30);
    g_assert_cmpuint(packet.source_port, ==, 0);
}

/* Whatever a header says of lengths, nothing outside of the frame is believed. */
static void test_parse_lies(void) {
    guint8 frame[HEADERS + 30];
    DinvUsernetPacket packet;
    make_frame(frame, 30, 0, FALSE, 7);
    for (gsize len = 0; len < sizeof(frame); len++) {
        g_assert_false(dinv_usernet_packet_parse(frame, len, &packet));
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        make_frame(frame, 30, 0, FALSE, 7);
        frame[14] = (guint8)byte;
        gboolean is_sound = byte >> 4 == 4 && (byte & 15) >= 5 && (byte & 15) * 4 <= 50;
        g_assert_cmpint(dinv_usernet_packet_parse(frame, sizeof(frame), &packet), ==, is_sound);
    }
    make_frame(frame, 30, 0, FALSE, 7);
    frame[23] = DINV_USERNET_PROTOCOL_TCP;
    frame[HEADERS + 12] = 15 << 4; /* 60 bytes of TCP header in 30 */
    g_assert_true(dinv_usernet_packet_parse(frame, sizeof(frame), &packet));
    g_assert_cmpuint(packet.source_port, ==, 0);
}

static const guint8 *add(DinvUsernetReassembly *reassembly, gsize len, gsize offset, gboolean more,
                         guint16 id, gsize *whole) {
    static guint8 frame[66000];
    DinvUsernetPacket packet;
    make_frame(frame, len, offset, more, id);
    g_assert_true(dinv_usernet_packet_parse(frame, HEADERS + len, &packet));
    return dinv_usernet_reassembly_add(reassembly, &packet, whole);
}

static void assert_is_whole(const guint8 *frame, const gsize *len, gsize body_len) {
    DinvUsernetPacket packet;
    g_assert_nonnull(frame);
    g_assert_cmpuint(*len, ==, HEADERS + body_len);
    g_assert_true(dinv_usernet_packet_parse(frame, *len, &packet));
    g_assert_false(packet.more_fragments);
    g_assert_cmpuint(packet.fragment_offset, ==, 0);
    g_assert_cmpint(memcmp(frame, macs, sizeof(macs)), ==, 0);
    g_assert_cmpuint(dinv_usernet_checksum(frame + 14, 20, 0), ==, 0);
    for (gsize i = 0; i < body_len; i++) {
        g_assert_cmpuint(frame[HEADERS + i], ==, i % 251);
    }
}

/* Two at a time, up to the longest packet there is. */
static void test_reassembly(void) {
    DinvUsernetReassembly *reassembly = dinv_usernet_reassembly_new();
    gsize len = 0;
    g_assert_null(add(reassembly, 1480, 0, TRUE, 1, &len));
    g_assert_null(add(reassembly, 65504, 0, TRUE, 2, &len));
    g_assert_null(add(reassembly, 1480, 1480, TRUE, 1, &len));
    assert_is_whole(add(reassembly, 11, 65504, FALSE, 2, &len), &len, 65515);
    assert_is_whole(add(reassembly, 5, 2960, FALSE, 1, &len), &len, 2965);
    g_assert_null(add(reassembly, 5, 2960, FALSE, 1, &len));
    dinv_usernet_reassembly_free(reassembly);
}

/* A gap, an overlap, one byte too many: the packet is given up, and only that. */
static void test_reassembly_refuses(void) {
    static const struct {
        gsize offset, len;
        gboolean more;
    } bad[] = {{16, 8, FALSE}, {0, 8, TRUE}, {8, 7, TRUE}, {65528, 8, FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        DinvUsernetReassembly *reassembly = dinv_usernet_reassembly_new();
        gsize len = 0;
        g_assert_null(add(reassembly, 8, 0, TRUE, 1, &len));
        g_assert_null(add(reassembly, 8, 0, TRUE, 2, &len));
        g_assert_null(add(reassembly, bad[i].len, bad[i].offset, bad[i].more, 1, &len));
        if (bad[i].offset > 0) {
            g_assert_null(add(reassembly, 8, 8, FALSE, 1, &len));
        }
        assert_is_whole(add(reassembly, 8, 8, FALSE, 2, &len), &len, 16);
        dinv_usernet_reassembly_free(reassembly);
    }
}

/* More than it has room for: the oldest is given up. */
static void test_reassembly_bounded(void) {
    DinvUsernetReassembly *reassembly = dinv_usernet_reassembly_new();
    gsize len = 0;
    for (guint16 id = 0; id <= DINV_USERNET_REASSEMBLY_SLOTS; id++) {
        g_assert_null(add(reassembly, 8, 0, TRUE, id, &len));
    }
    g_assert_null(add(reassembly, 8, 8, FALSE, 0, &len));
    for (guint16 id = 1; id <= DINV_USERNET_REASSEMBLY_SLOTS; id++) {
        assert_is_whole(add(reassembly, 8, 8, FALSE, id, &len), &len, 16);
    }
    dinv_usernet_reassembly_free(reassembly);
}

static gboolean parse_line(const char *line, DinvUsernetArguments *arguments, char *problem) {
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    return dinv_usernet_arguments_parse((int)g_strv_length(words), words, arguments, problem, 256);
}

/* It is the segment that would have been made without. */
static void test_without_fin(void) {
    DinvUsernetHeader header = {.source_mac = macs + 6,
                                .destination_mac = macs,
                                .source = htonl(0x0a00020f),
                                .destination = htonl(0x0a000202),
                                .protocol = DINV_USERNET_PROTOCOL_TCP};
    for (guint i = 0; i < 70000; i++) {
        DinvUsernetSegment segment = {80, 4000, i, i * 7919, (guint16)i, DINV_USERNET_TCP_ACK};
        guint8 plain[DINV_USERNET_PROBE_SIZE];
        guint8 stripped[DINV_USERNET_PROBE_SIZE];
        dinv_usernet_segment_write(plain, &header, &segment);
        segment.flags |= DINV_USERNET_TCP_FIN;
        dinv_usernet_segment_write(stripped, &header, &segment);
        dinv_usernet_segment_without_fin(stripped + HEADERS);
        g_assert_cmpint(memcmp(plain, stripped, sizeof(plain)), ==, 0);
    }
}

/* One option among others, at an even and at an odd place, or none, or nonsense: the checksum stays
 * right. */
static void check_limit(const guint8 *options, gsize len, const guint8 *expected) {
    guint8 tcp[DINV_USERNET_TCP_SIZE + 16] = {0x12, 0x34, 0x56, 0x78, 9, 8, 7, 6, 5, 4, 3, 2, 0, 2};
    gsize size = DINV_USERNET_TCP_SIZE + len;
    memcpy(tcp + DINV_USERNET_TCP_SIZE, options, len);
    dinv_usernet_put_u16(tcp + 16, dinv_usernet_checksum(tcp, size, 0));
    dinv_usernet_segment_limit_mss(tcp, size, 21800); /* 0x5528 */
    g_assert_cmpint(memcmp(tcp + DINV_USERNET_TCP_SIZE, expected, len), ==, 0);
    g_assert_cmpuint(dinv_usernet_checksum(tcp, size, 0), ==, 0);
}

static void test_limit_mss(void) {
    static const guint8 even[] = {2, 4, 0xff, 0xd8, 1, 1, 4, 2};
    static const guint8 even_limited[] = {2, 4, 0x55, 0x28, 1, 1, 4, 2};
    static const guint8 odd[] = {1, 2, 4, 0xff, 0xd8, 0, 0, 0};
    static const guint8 odd_limited[] = {1, 2, 4, 0x55, 0x28, 0, 0, 0};
    static const guint8 small[] = {4, 2, 2, 4, 0x05, 0xb4, 0, 0};
    static const guint8 cut[] = {1, 1, 1, 2};
    static const guint8 endless[] = {3, 0, 2, 4};
    static const guint8 behind[] = {0, 0, 0, 0, 2, 4, 0xff, 0xd8};
    static const guint8 beyond[] = {2, 40, 0xff, 0xd8};
    check_limit(even, sizeof(even), even_limited);
    check_limit(odd, sizeof(odd), odd_limited);
    check_limit(small, sizeof(small), small);
    check_limit(cut, sizeof(cut), cut);
    check_limit(endless, sizeof(endless), endless);
    check_limit(behind, sizeof(behind), behind);
    check_limit(beyond, sizeof(beyond), beyond);
}

static void test_arguments(void) {
    DinvUsernetArguments arguments;
    char problem[256] = "";
    g_assert_true(parse_line("x --mtu 65520 --frames 3 --control 4 --network 10.0.2.0/24",
                             &arguments, problem));
    g_assert_cmpint(arguments.frames_fd, ==, 3);
    g_assert_cmpint(arguments.control_fd, ==, 4);
    g_assert_cmpuint(arguments.config.mtu, ==, 65520);
    g_assert_cmpuint(arguments.config.network.s_addr, ==, htonl(0x0a000200));
    g_assert_cmpuint(arguments.config.mask.s_addr, ==, htonl(0xffffff00));
    static const struct {
        const char *line, *problem;
    } bad[] = {
        {"x", "--frames is missing: the number of an open descriptor"},
        {"x --what 1", "\"--what\" is not an option"},
        {"x --mtu", "--mtu needs a number of bytes from 576 to 65521, once"},
        {"x --mtu 1500 --mtu 1500", "--mtu needs a number of bytes from 576 to 65521, once"},
        {"x --mtu 575", "--mtu: \"575\" is not a number of bytes from 576 to 65521"},
        {"x --mtu -1", "--mtu: \"-1\" is not a number of bytes from 576 to 65521"},
        {"x --frames 3x", "--frames: \"3x\" is not the number of an open descriptor"},
        {"x --network 10.0.2.0",
         "--network: \"10.0.2.0\" is not a network as 10.0.2.0/24, of 8 to 27 bits"},
        {"x --network 10.0.2.1/24",
         "--network: \"10.0.2.1/24\" is not a network as 10.0.2.0/24, of 8 to 27 bits"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(parse_line(bad[i].line, &arguments, problem));
        g_assert_cmpstr(problem, ==, bad[i].problem);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/packet/parse", test_parse);
    g_test_add_func("/usernet/process/packet/parse-lies", test_parse_lies);
    g_test_add_func("/usernet/process/packet/reassembly", test_reassembly);
    g_test_add_func("/usernet/process/packet/reassembly-refuses", test_reassembly_refuses);
    g_test_add_func("/usernet/process/packet/reassembly-bounded", test_reassembly_bounded);
    g_test_add_func("/usernet/process/packet/without-fin", test_without_fin);
    g_test_add_func("/usernet/process/packet/limit-mss", test_limit_mss);
    g_test_add_func("/usernet/process/packet/arguments", test_arguments);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Datagrams of forwards, whole in both directions whatever their size. */
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/usernet-guest.h"

#define GUEST_PORT 53

static UsernetGuest guest;

static void add_udp(const char *address, guint16 port) {
    g_autofree char *words = g_strdup_printf("add udp %s %u %u", address, port, GUEST_PORT);
    usernet_do(&guest, words);
}

/* A whole datagram of a client, put together from its fragments; its payload's length. */
static gsize take_datagram(guint8 *payload, gsize size, guint32 *foreign, guint16 *foreign_port) {
    g_autofree guint8 *body = g_malloc(70000);
    gsize got = 0;
    DinvUsernetPacket packet;
    do {
        usernet_next(&guest, &packet);
        g_assert_cmpuint(packet.protocol, ==, DINV_USERNET_PROTOCOL_UDP);
        g_assert_cmpuint(packet.fragment_offset, ==, got);
        g_assert_cmpuint(packet.body_len + DINV_USERNET_IPV4_SIZE, <=, guest.mtu);
        memcpy(body + got, packet.body, packet.body_len);
        got += packet.body_len;
    } while (packet.more_fragments);
    g_assert_cmpuint(dinv_usernet_get_u16(body + 4), ==, got);
    g_assert_cmpuint(dinv_usernet_get_u16(body + 2), ==, GUEST_PORT);
    /* Over a datagram with its checksum the sum is zero. */
    g_assert_cmpuint(
        dinv_usernet_checksum(body, got,
                              dinv_usernet_pseudo_sum(packet.source, packet.destination,
                                                      DINV_USERNET_PROTOCOL_UDP, got)),
        ==, 0);
    *foreign = packet.source;
    *foreign_port = dinv_usernet_get_u16(body);
    got -= DINV_USERNET_UDP_SIZE;
    g_assert_cmpuint(got, <=, size);
    memcpy(payload, body + DINV_USERNET_UDP_SIZE, got);
    return got;
}

/* There and back. */
static void check_echo(int client, const guint8 *data, gsize len) {
    g_autofree guint8 *inside = g_malloc(70000);
    g_autofree guint8 *back = g_malloc(70000);
    guint32 foreign;
    guint16 foreign_port;
    g_assert_cmpint(send(client, data, len, 0), ==, (gssize)len);
    gsize got = take_datagram(inside, 70000, &foreign, &foreign_port);
    g_assert_cmpuint(foreign, ==, usernet_address("10.0.2.2"));
    usernet_assert_bytes(inside, got, data, len);
    usernet_udp_send(&guest, foreign, foreign_port, GUEST_PORT, inside, got);
    gssize received = recv(client, back, 70000, 0);
    g_assert_cmpint(received, ==, (gssize)len);
    usernet_assert_bytes(back, (gsize)received, data, len);
}

static void check_sizes(unsigned mtu, gboolean ipv6) {
    static const gsize sizes[] = {0, 1, 1472, 1473, 4000, 16000, 60000, 65491, 65492, 65507};
    guint8 *data = g_malloc(65507);
    for (gsize i = 0; i < 65507; i++) {
        data[i] = (guint8)g_test_rand_int();
    }
    guint16 port = tcp_port_find_free();
    usernet_start(&guest, mtu);
    add_udp(ipv6 ? "::" : "0.0.0.0", port);
    int client = usernet_client(SOCK_DGRAM, ipv6, port);
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        check_echo(client, data, sizes[i]);
    }
    DinvUsernetReply reply;
    usernet_ask(&guest, &reply, "list");
    g_assert_cmpuint(reply.connections, ==, 1);
    g_assert_cmpuint(reply.open, ==, 1);
    g_assert_cmpuint(reply.to_guest, ==, reply.from_guest);
    usernet_reply(&guest, &reply);
    (void)close(client);
    usernet_stop(&guest);
    g_free(data);
}

static void test_sizes(void) {
    check_sizes(65520, FALSE);
}

static void test_sizes_small_mtu(void) {
    check_sizes(1500, FALSE);
}

static void test_ipv6(void) {
    if (!tcp_port_has_ipv6()) {
        g_test_skip("no IPv6 here");
        return;
    }
    check_sizes(65520, TRUE);
}

/* Each client gets its own answer, by way of the forward that it asked. */
static void test_two_forwards(void) {
    guint16 first = tcp_port_find_free();
    guint16 second = tcp_port_find_free();
    usernet_start(&guest, 65520);
    add_udp("127.0.0.1", first);
    add_udp("127.0.0.1", second);
    int clients[] = {usernet_client(SOCK_DGRAM, FALSE, first),
                     usernet_client(SOCK_DGRAM, FALSE, second)};
    guint32 foreign[2];
    guint16 foreign_port[2];
    guint8 byte;
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(send(clients[i], "?", 1, 0), ==, 1);
        g_assert_cmpuint(take_datagram(&byte, 1, &foreign[i], &foreign_port[i]), ==, 1);
    }
    for (int i = 1; i >= 0; i--) {
        const char *answer = i == 0 ? "0" : "1";
        usernet_udp_send(&guest, foreign[i], foreign_port[i], GUEST_PORT, answer, 1);
        g_assert_cmpint(recv(clients[i], &byte, 1, 0), ==, 1);
        g_assert_cmpint(byte, ==, *answer);
        (void)close(clients[i]);
    }
    usernet_stop(&guest);
}

/* Fragments that lie, overlap or miss their beginning lead to nothing, and the next is well. */
static void test_bad_fragments(void) {
    guint16 port = tcp_port_find_free();
    guint32 foreign;
    guint16 foreign_port;
    guint8 byte;
    usernet_start(&guest, 65520);
    add_udp("127.0.0.1", port);
    int client = usernet_client(SOCK_DGRAM, FALSE, port);
    g_assert_cmpint(send(client, "?", 1, 0), ==, 1);
    g_assert_cmpuint(take_datagram(&byte, 1, &foreign, &foreign_port), ==, 1);
    guint8 body[64] = {0};
    dinv_usernet_put_u16(body, GUEST_PORT);
    dinv_usernet_put_u16(body + 2, foreign_port);
    dinv_usernet_put_u16(body + 4, 65535);
    DinvUsernetHeader header = usernet_header(foreign, DINV_USERNET_PROTOCOL_UDP);
    static const struct {
        gsize offset;
        gboolean more;
        gsize len;
    } parts[] = {{0, FALSE, 64},     {0, TRUE, 61}, {64, FALSE, 8}, {0, TRUE, 64}, {32, TRUE, 64},
                 {65528, FALSE, 64}, {0, TRUE, 64}, {64, TRUE, 7},  {0, FALSE, 7}};
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        header.fragment_offset = parts[i].offset;
        header.more_fragments = parts[i].more;
        usernet_send_body(&guest, &header, body, parts[i].len);
    }
    usernet_udp_send(&guest, foreign, foreign_port, GUEST_PORT, "!", 1);
    g_assert_cmpint(recv(client, body, sizeof(body), 0), ==, 1);
    g_assert_cmpint(body[0], ==, '!');
    (void)close(client);
    usernet_stop(&guest);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/udp/sizes", test_sizes);
    g_test_add_func("/usernet/process/udp/sizes-small-mtu", test_sizes_small_mtu);
    g_test_add_func("/usernet/process/udp/ipv6", test_ipv6);
    g_test_add_func("/usernet/process/udp/two-forwards", test_two_forwards);
    g_test_add_func("/usernet/process/udp/bad-fragments", test_bad_fragments);
    return g_test_run();
}

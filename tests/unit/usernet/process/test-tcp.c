/* SPDX-License-Identifier: MIT */
/* Connections from outside through a real libslirp to a guest that the test plays itself. */
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/usernet-guest.h"

#define GUEST_PORT 80

static UsernetGuest guest;

static void add_tcp(const char *address, guint16 port) {
    g_autofree char *words = g_strdup_printf("add tcp %s %u %u", address, port, GUEST_PORT);
    usernet_do(&guest, words);
}

static void assert_reads(int fd, const char *text) {
    char bytes[256];
    gssize len = recv(fd, bytes, sizeof(bytes), 0);
    g_assert_cmpint(len, >=, 0);
    usernet_assert_bytes(bytes, (gsize)len, text, strlen(text));
}

static void assert_is_reset(int fd) {
    char byte;
    g_assert_cmpint(recv(fd, &byte, 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
}

static guint16 start_with_forward(void) {
    guint16 port = tcp_port_find_free();
    usernet_start(&guest, 65520);
    add_tcp("127.0.0.1", port);
    return port;
}

static void stop_with(int client) {
    (void)close(client);
    usernet_stop(&guest);
}

/* A word in each direction, an end in each direction, and the counters of it. */
static void check_conversation(gboolean ipv6) {
    guint16 port = tcp_port_find_free();
    usernet_start(&guest, 65520);
    add_tcp(ipv6 ? "::1" : "127.0.0.1", port);
    int client = usernet_client(SOCK_STREAM, ipv6, port);
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_assert_cmpuint(tcp.foreign, ==, usernet_address("10.0.2.2"));
    g_assert_cmpint(send(client, "question", 8, 0), ==, 8);
    usernet_tcp_expect(&guest, &tcp, "question");
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    usernet_tcp_expect_fin(&guest, &tcp);
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, "answer", 6);
    assert_reads(client, "answer");
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, NULL, 0);
    assert_reads(client, "");
    DinvUsernetReply reply;
    usernet_ask(&guest, &reply, "list");
    g_assert_cmpint(reply.type, ==, DINV_USERNET_FORWARD);
    g_assert_cmpuint(reply.guest_port, ==, GUEST_PORT);
    g_assert_cmpuint(reply.connections, ==, 1);
    g_assert_cmpuint(reply.open, ==, 0);
    g_assert_cmpuint(reply.to_guest, ==, 8);
    g_assert_cmpuint(reply.from_guest, ==, 6);
    usernet_reply(&guest, &reply);
    g_assert_cmpint(reply.type, ==, DINV_USERNET_OK);
    stop_with(client);
}

static void test_ipv4(void) {
    check_conversation(FALSE);
}

static void test_ipv6(void) {
    if (!tcp_port_has_ipv6()) {
        g_test_skip("no IPv6 here");
        return;
    }
    check_conversation(TRUE);
}

/* Nothing listens inside: what connect() was given is taken back at once. */
static void test_refused(void) {
    int client = usernet_client(SOCK_STREAM, FALSE, start_with_forward());
    UsernetTcp tcp;
    usernet_tcp_take_syn(&guest, &tcp, GUEST_PORT);
    tcp.sequence = 0;
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_RST | DINV_USERNET_TCP_ACK, NULL, 0);
    assert_is_reset(client);
    stop_with(client);
}

static void test_guest_resets(void) {
    int client = usernet_client(SOCK_STREAM, FALSE, start_with_forward());
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    usernet_tcp_expect(&guest, &tcp, "x");
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_RST | DINV_USERNET_TCP_ACK, NULL, 0);
    assert_is_reset(client);
    stop_with(client);
}

static void test_client_resets(void) {
    int client = usernet_client(SOCK_STREAM, FALSE, start_with_forward());
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    usernet_tcp_expect(&guest, &tcp, "x");
    struct linger linger = {.l_onoff = 1};
    g_assert_cmpint(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), ==, 0);
    (void)close(client);
    DinvUsernetPacket packet;
    usernet_tcp_next(&guest, &packet, DINV_USERNET_TCP_RST);
    g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_RST, !=, 0);
    usernet_stop(&guest);
}

/* An end of the process is no end of the conversation. */
static void test_killed(void) {
    int client = usernet_client(SOCK_STREAM, FALSE, start_with_forward());
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    usernet_tcp_expect(&guest, &tcp, "x");
    g_assert_cmpint(kill(guest.pid, SIGKILL), ==, 0);
    assert_is_reset(client);
    int status;
    g_assert_cmpint(waitpid(guest.pid, &status, 0), ==, guest.pid);
    (void)close(client);
    (void)close(guest.frames);
    (void)close(guest.control);
}

/* The guest is asked where it stands, and may answer whenever it likes. */
static void test_half_closed(void) {
    guint16 port = tcp_port_find_free();
    usernet_start_limited(&guest, 65520, 50000000, 0);
    DinvUsernetReply ready;
    usernet_reply(&guest, &ready);
    add_tcp("127.0.0.1", port);
    int client = usernet_client(SOCK_STREAM, FALSE, port);
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    usernet_tcp_expect_fin(&guest, &tcp);
    for (int i = 0; i < 3; i++) {
        DinvUsernetPacket packet;
        usernet_next(&guest, &packet);
        g_assert_cmpuint(packet.flags, ==, DINV_USERNET_TCP_ACK);
        g_assert_cmpuint(packet.sequence, ==, tcp.expected - 1);
        g_assert_cmpuint(packet.acknowledged, ==, tcp.sequence);
        g_assert_cmpuint(packet.window, >, 0);
        usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, NULL, 0);
    }
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, "late", 4);
    assert_reads(client, "late");
    stop_with(client);
}

/* More than the listener's backlog in libslirp ever was, all at once. */
static void test_many(void) {
    int clients[300];
    guint16 port = start_with_forward();
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = usernet_client(SOCK_STREAM, FALSE, port);
    }
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    while (g_hash_table_size(seen) < G_N_ELEMENTS(clients)) {
        UsernetTcp tcp;
        usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
        g_hash_table_add(seen, GUINT_TO_POINTER(tcp.foreign_port));
        usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, "hi", 2);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        assert_reads(clients[i], "hi");
        (void)close(clients[i]);
    }
    usernet_stop(&guest);
}

/* Where descriptors run out the rest of the clients wait in the kernel, and come in later. */
static void test_descriptors(void) {
    int clients[60];
    guint16 port = tcp_port_find_free();
    usernet_start_limited(&guest, 65520, DINV_USERNET_PROBE_NS, 40);
    DinvUsernetReply reply;
    usernet_reply(&guest, &reply);
    add_tcp("127.0.0.1", port);
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = usernet_client(SOCK_STREAM, FALSE, port);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        UsernetTcp tcp;
        usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
        usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_RST, NULL, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        assert_is_reset(clients[i]);
        (void)close(clients[i]);
    }
    usernet_stop(&guest);
}

/* A guest that takes no frames: the client is held up, the launcher is answered, and all of it
 * arrives in order once the guest reads. */
static void test_back_pressure(void) {
    enum { TOTAL = 8 << 20 };
    guint16 port = start_with_forward();
    int client = usernet_client(SOCK_STREAM, FALSE, port);
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, NULL, 0);
    g_autofree guint8 *bytes = g_malloc(TOTAL);
    for (gsize i = 0; i < TOTAL; i++) {
        bytes[i] = (guint8)(i * 7 + (i >> 11));
    }
    pid_t writer = fork();
    if (writer == 0) {
        gsize sent = 0;
        while (sent < TOTAL) {
            gssize part = send(client, bytes + sent, TOTAL - sent, MSG_NOSIGNAL);
            if (part <= 0) {
                _exit(1);
            }
            sent += (gsize)part;
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        DinvUsernetReply reply;
        usernet_ask(&guest, &reply, "list");
        usernet_reply(&guest, &reply);
        g_assert_cmpint(reply.type, ==, DINV_USERNET_OK);
    }
    gsize received = 0;
    while (received < TOTAL) {
        DinvUsernetPacket packet;
        usernet_tcp_next(&guest, &packet, 0);
        g_assert_cmpuint(packet.sequence, ==, tcp.expected);
        g_assert_cmpuint(received + packet.data_len, <=, TOTAL);
        g_assert_cmpint(memcmp(packet.body + packet.body_len - packet.data_len, bytes + received,
                               packet.data_len),
                        ==, 0);
        received += packet.data_len;
        tcp.expected += (uint32_t)packet.data_len;
        usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, NULL, 0);
    }
    int status;
    g_assert_cmpint(waitpid(writer, &status, 0), ==, writer);
    g_assert_cmpint(status, ==, 0);
    stop_with(client);
}

/* A removed forward leaves what is open, and its port. */
static void test_remove(void) {
    guint16 port = start_with_forward();
    int client = usernet_client(SOCK_STREAM, FALSE, port);
    UsernetTcp tcp;
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    g_autofree char *words = g_strdup_printf("remove tcp 127.0.0.1 %u", port);
    usernet_do(&guest, words);
    DinvUsernetReply reply;
    usernet_ask(&guest, &reply, words);
    g_assert_cmpint(reply.type, ==, DINV_USERNET_ERROR);
    g_assert_cmpint(reply.error, ==, ENOENT);
    g_assert_cmpint(tcp_port_connect("127.0.0.1", port), ==, -1);
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, "still", 5);
    assert_reads(client, "still");
    add_tcp("127.0.0.1", port);
    stop_with(client);
}

static void test_errors(void) {
    guint16 port = 0;
    int taken = tcp_port_take(&port);
    usernet_start(&guest, 1500);
    g_autofree char *words = g_strdup_printf("add tcp 127.0.0.1 %u 80", port);
    g_autofree char *text =
        g_strdup_printf("listen tcp 127.0.0.1:%u: bind: address already in use", port);
    DinvUsernetReply reply;
    usernet_ask(&guest, &reply, words);
    g_assert_cmpint(reply.error, ==, EADDRINUSE);
    g_assert_cmpstr(reply.text, ==, text);
    usernet_ask(&guest, &reply, "add tcp 192.0.2.77 8080 80");
    g_assert_cmpint(reply.error, ==, EADDRNOTAVAIL);
    usernet_ask(&guest, &reply, "make coffee");
    g_assert_cmpint(reply.error, ==, EBADMSG);
    (void)close(taken);
    usernet_stop(&guest);
}

/* Without its launcher it ends as well. */
static void test_end_of_control(void) {
    usernet_start(&guest, 1500);
    (void)close(guest.control);
    int status;
    g_assert_cmpint(waitpid(guest.pid, &status, 0), ==, guest.pid);
    g_assert_cmpint(status, ==, 0);
    (void)close(guest.frames);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/tcp/ipv4", test_ipv4);
    g_test_add_func("/usernet/process/tcp/ipv6", test_ipv6);
    g_test_add_func("/usernet/process/tcp/refused", test_refused);
    g_test_add_func("/usernet/process/tcp/guest-resets", test_guest_resets);
    g_test_add_func("/usernet/process/tcp/client-resets", test_client_resets);
    g_test_add_func("/usernet/process/tcp/killed", test_killed);
    g_test_add_func("/usernet/process/tcp/half-closed", test_half_closed);
    g_test_add_func("/usernet/process/tcp/many", test_many);
    g_test_add_func("/usernet/process/tcp/descriptors", test_descriptors);
    g_test_add_func("/usernet/process/tcp/back-pressure", test_back_pressure);
    g_test_add_func("/usernet/process/tcp/remove", test_remove);
    g_test_add_func("/usernet/process/tcp/errors", test_errors);
    g_test_add_func("/usernet/process/tcp/end-of-control", test_end_of_control);
    return g_test_run();
}

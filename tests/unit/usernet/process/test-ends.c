/* SPDX-License-Identifier: MIT */
/* A client that reads nothing until both sides have ended gets every byte, and then the end. */
#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/usernet-guest.h"

#define GUEST_PORT 80
#define PIECE      16384u
#define MOST       (64u << 20)

static UsernetGuest guest;
static UsernetTcp tcp;

static guint8 byte_at(guint64 at) {
    return (guint8)(at * 7 + (at >> 11));
}

/* Whether a segment came within `timeout` ms; the window in it is what libslirp has room for. */
static gboolean take_window(int timeout, uint16_t *window) {
    DinvUsernetPacket packet;
    if (!usernet_next_within(&guest, &packet, timeout)) {
        return FALSE;
    }
    g_assert_cmpuint(packet.protocol, ==, DINV_USERNET_PROTOCOL_TCP);
    if (packet.acknowledged == tcp.sequence) {
        *window = packet.window;
    }
    return TRUE;
}

/* Sends until neither the client's kernel nor libslirp takes more; the number of bytes. */
static guint64 send_all_that_fits(void) {
    g_autofree guint8 *piece = g_malloc(PIECE);
    guint64 sent = 0;
    uint16_t window = 65535;
    while (window >= PIECE) {
        for (gsize i = 0; i < PIECE; i++) {
            piece[i] = byte_at(sent + i);
        }
        window = 0;
        usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, piece, PIECE);
        sent += PIECE;
        g_assert_cmpuint(sent, <, MOST);
        while (window == 0 && take_window(USERNET_DEADLINE_MS, &window)) {
        }
    }
    return sent;
}

static void assert_reads_all(int client, guint64 expected) {
    g_autofree guint8 *bytes = g_malloc(PIECE);
    guint64 got = 0;
    for (;;) {
        gssize len = recv(client, bytes, PIECE, 0);
        g_assert_cmpint(len, >=, 0);
        if (len == 0) {
            break;
        }
        for (gssize i = 0; i < len; i++) {
            g_assert_cmpuint(bytes[i], ==, byte_at(got + (guint64)i));
        }
        got += (guint64)len;
    }
    g_assert_cmpuint(got, ==, expected);
}

static guint64 count_open(void) {
    DinvUsernetReply reply;
    usernet_ask(&guest, &reply, "list");
    g_assert_cmpint(reply.type, ==, DINV_USERNET_FORWARD);
    guint64 open = reply.open;
    usernet_reply(&guest, &reply);
    g_assert_cmpint(reply.type, ==, DINV_USERNET_OK);
    return open;
}

static int start(int64_t probe_ns) {
    guint16 port = tcp_port_find_free();
    usernet_start_limited(&guest, 65520, probe_ns, 0);
    DinvUsernetReply ready;
    usernet_reply(&guest, &ready);
    g_autofree char *words = g_strdup_printf("add tcp 127.0.0.1 %u %u", port, GUEST_PORT);
    usernet_do(&guest, words);
    int client = usernet_client(SOCK_STREAM, FALSE, port);
    usernet_tcp_accept(&guest, &tcp, GUEST_PORT);
    return client;
}

/* Of the guest's FIN; nothing that came before it is acknowledged later. */
static void expect_end_acknowledged(void) {
    DinvUsernetPacket packet;
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, NULL, 0);
    do {
        usernet_next(&guest, &packet);
    } while (packet.acknowledged != tcp.sequence);
}

/* The client's end is told inside when the client has everything. */
static void test_guest_first(void) {
    int client = start(DINV_USERNET_PROBE_NS);
    guint64 sent = send_all_that_fits();
    expect_end_acknowledged();
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    for (int i = 0; i < 20; i++) {
        g_assert_cmpuint(count_open(), ==, 1);
    }
    DinvUsernetPacket packet;
    while (usernet_next_within(&guest, &packet, 0)) {
        g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_FIN, ==, 0);
    }
    assert_reads_all(client, sent);
    usernet_tcp_expect_fin(&guest, &tcp);
    (void)close(client);
    usernet_stop(&guest);
}

/* The guest has done with the connection, and hears nothing of it, however long it takes. */
static void test_client_first(void) {
    int client = start(10000000);
    g_assert_cmpint(shutdown(client, SHUT_WR), ==, 0);
    usernet_tcp_expect_fin(&guest, &tcp);
    guint64 sent = send_all_that_fits();
    expect_end_acknowledged();
    g_assert_cmpuint(count_open(), ==, 0);
    /* One that asks again is told again. */
    tcp.sequence--;
    expect_end_acknowledged();
    assert_reads_all(client, sent);
    DinvUsernetPacket packet;
    g_assert_false(usernet_next_within(&guest, &packet, 0));
    (void)close(client);
    usernet_stop(&guest);
}

/* A guest that was told to send nothing more hears when there is room again, and does not have to
 * ask. */
static void test_room_again(void) {
    int client = start(DINV_USERNET_PROBE_NS);
    guint64 sent = send_all_that_fits();
    g_autofree guint8 *bytes = g_malloc(PIECE);
    for (guint64 got = 0; got < sent;) {
        gssize len = recv(client, bytes, PIECE, 0);
        g_assert_cmpint(len, >, 0);
        got += (guint64)len;
    }
    uint16_t window = 0;
    while (window < PIECE) {
        g_assert_true(take_window(USERNET_DEADLINE_MS, &window));
    }
    (void)close(client);
    usernet_stop(&guest);
}

/* What has not been given to the client is no orderly end. */
static void test_killed(void) {
    int client = start(DINV_USERNET_PROBE_NS);
    guint64 sent = send_all_that_fits();
    expect_end_acknowledged();
    g_assert_cmpint(kill(guest.pid, SIGKILL), ==, 0);
    int status;
    g_assert_cmpint(waitpid(guest.pid, &status, 0), ==, guest.pid);
    g_autofree guint8 *bytes = g_malloc(PIECE);
    guint64 got = 0;
    gssize len;
    while ((len = recv(client, bytes, PIECE, 0)) > 0) {
        got += (guint64)len;
    }
    g_assert_cmpint(len, ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
    g_assert_cmpuint(got, <, sent);
    (void)close(client);
    (void)close(guest.frames);
    (void)close(guest.control);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/ends/guest-first", test_guest_first);
    g_test_add_func("/usernet/process/ends/client-first", test_client_first);
    g_test_add_func("/usernet/process/ends/room-again", test_room_again);
    g_test_add_func("/usernet/process/ends/killed", test_killed);
    return g_test_run();
}

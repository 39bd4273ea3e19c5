/* SPDX-License-Identifier: MIT */
/* Connections from inside: what a server outside does reaches the guest as what it is. And a guest
 * that sends without end holds nobody up but itself. */
#include <stdio.h>

#include "tests/unit/lib/tcp-port.h"
#include "tests/unit/lib/usernet-guest.h"

#define FLOOD_MS 1500
#ifdef __SANITIZE_ADDRESS__ /* keeps what was freed for a while */
#define RESIDENT_MAX (UINT64_C(1) << 30)
#else
#define RESIDENT_MAX (32u << 20)
#endif

static UsernetGuest guest;
static UsernetTcp tcp;

/* A server on the loopback; its port. */
static int listen_outside(guint16 *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, len), ==, 0);
    g_assert_cmpint(listen(fd, 8), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &len), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* The server's end of a connection that the guest has made. */
static int connect_outside_probed(int64_t probe_ns) {
    guint16 port;
    DinvUsernetReply ready;
    int listener = listen_outside(&port);
    usernet_start_limited(&guest, 65520, probe_ns, 0);
    usernet_reply(&guest, &ready);
    usernet_tcp_connect(&guest, &tcp, port);
    int server = accept(listener, NULL, NULL);
    g_assert_cmpint(server, >=, 0);
    (void)close(listener);
    return server;
}

static int connect_outside(void) {
    return connect_outside_probed(DINV_USERNET_PROBE_NS);
}

static void test_refused(void) {
    DinvUsernetPacket packet;
    usernet_start(&guest, 65520);
    usernet_tcp_begin(&guest, &tcp, tcp_port_find_free());
    usernet_tcp_next(&guest, &packet, DINV_USERNET_TCP_SYN | DINV_USERNET_TCP_RST);
    g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_RST, !=, 0);
    g_assert_cmpuint(packet.acknowledged, ==, tcp.sequence);
    usernet_stop(&guest);
}

static void test_reset(void) {
    DinvUsernetPacket packet;
    int server = connect_outside();
    struct linger linger = {.l_onoff = 1};
    g_assert_cmpint(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), ==, 0);
    (void)close(server);
    usernet_tcp_next(&guest, &packet, DINV_USERNET_TCP_RST | DINV_USERNET_TCP_FIN);
    g_assert_cmpuint(packet.flags & DINV_USERNET_TCP_RST, !=, 0);
    usernet_stop(&guest);
}

/* The server's last word and end, and after it the guest's. */
static void test_closed(void) {
    char bytes[16];
    int server = connect_outside();
    g_assert_cmpint(send(server, "bye", 3, 0), ==, 3);
    g_assert_cmpint(shutdown(server, SHUT_WR), ==, 0);
    usernet_tcp_expect(&guest, &tcp, "bye");
    usernet_tcp_expect_fin(&guest, &tcp);
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, "bye", 3);
    gssize len = recv(server, bytes, sizeof(bytes), MSG_WAITALL);
    usernet_assert_bytes(bytes, (gsize)len, "bye", 3);
    (void)close(server);
    usernet_stop(&guest);
}

/* A guest that has said all is asked whether it still waits, as its NAT would forget that it does;
 * the server may answer whenever it likes. */
static void test_half_closed(void) {
    int server = connect_outside_probed(50000000);
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_FIN, "all", 3);
    for (int asked = 0; asked < 3;) {
        DinvUsernetPacket packet;
        usernet_next(&guest, &packet);
        g_assert_cmpuint(packet.flags, ==, DINV_USERNET_TCP_ACK);
        if (packet.sequence == tcp.expected - 1) {
            g_assert_cmpuint(packet.acknowledged, ==, tcp.sequence);
            usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK, NULL, 0);
            asked++;
        }
    }
    g_assert_cmpint(send(server, "late", 4, 0), ==, 4);
    usernet_tcp_expect(&guest, &tcp, "late");
    (void)close(server);
    usernet_stop(&guest);
}

/* The guest's reset reaches the server as one. */
static void test_guest_resets(void) {
    char byte;
    int server = connect_outside();
    usernet_tcp_send(&guest, &tcp, DINV_USERNET_TCP_ACK | DINV_USERNET_TCP_RST, NULL, 0);
    g_assert_cmpint(recv(server, &byte, 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
    (void)close(server);
    usernet_stop(&guest);
}

/* Questions whose answers are not read, as fast as they are taken. */
_Noreturn static void flood(void) {
    uint8_t frame[DINV_USERNET_ARP_SIZE];
    dinv_usernet_arp_request_write(frame, usernet_guest_mac, usernet_address("10.0.2.15"),
                                   usernet_address("10.0.2.2"));
    for (;;) {
        (void)send(guest.frames, frame, sizeof(frame), 0);
    }
}

static pid_t start_flood(void) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        flood();
    }
    return pid;
}

static guint64 resident_bytes(pid_t pid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/statm", pid);
    g_autofree char *text = NULL;
    guint64 pages = 0;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*u %" G_GUINT64_FORMAT, &pages), ==, 1);
    return pages * (guint64)sysconf(_SC_PAGESIZE);
}

static void test_flood(void) {
    usernet_start(&guest, 65520);
    pid_t flood = start_flood();
    gint64 end = g_get_monotonic_time() + (gint64)FLOOD_MS * 1000;
    do {
        DinvUsernetReply reply;
        usernet_ask(&guest, &reply, "list");
        g_assert_cmpint(reply.type, ==, DINV_USERNET_OK);
        g_assert_cmpuint(resident_bytes(guest.pid), <, RESIDENT_MAX);
    } while (g_get_monotonic_time() < end);
    g_assert_cmpint(kill(flood, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(flood, NULL, 0), ==, flood);
    usernet_stop(&guest);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/outside/refused", test_refused);
    g_test_add_func("/usernet/process/outside/reset", test_reset);
    g_test_add_func("/usernet/process/outside/closed", test_closed);
    g_test_add_func("/usernet/process/outside/half-closed", test_half_closed);
    g_test_add_func("/usernet/process/outside/guest-resets", test_guest_resets);
    g_test_add_func("/usernet/process/outside/flood", test_flood);
    return g_test_run();
}

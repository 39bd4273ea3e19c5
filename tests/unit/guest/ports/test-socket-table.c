/* SPDX-License-Identifier: MIT */
/* Lines of /proc/net/tcp and its siblings: those that count, those that do not, and real ones. */
#include "guest/ports/socket-table.h"

#include <arpa/inet.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REST " 00000000:00000000 00:00000000 00000000  1000        0 "

static void test_listening(void) {
    DinvPortsSocket socket;
    g_assert_true(dinv_ports_socket_parse("   0: 00000000:1F90 00000000:0000 0A" REST
                                          "4711 1 0000000000000000 100 0 0 10 0",
                                          false, false, &socket));
    g_assert_false(socket.udp);
    g_assert_cmpstr(socket.address, ==, "0.0.0.0");
    g_assert_cmpuint(socket.port, ==, 8080);
    g_assert_cmpuint(socket.inode, ==, 4711);
    g_assert_true(dinv_ports_socket_parse("  12: 0100007F:0035 00000000:0000 07" REST "9 2 0 0",
                                          true, false, &socket));
    g_assert_true(socket.udp);
    g_assert_cmpstr(socket.address, ==, "127.0.0.1");
    g_assert_cmpuint(socket.port, ==, 53);
    g_assert_true(dinv_ports_socket_parse(
        "   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A" REST
        "18446744073709551615 1",
        false, true, &socket));
    g_assert_cmpstr(socket.address, ==, "::1");
    g_assert_cmpuint(socket.inode, ==, G_MAXUINT64);
}

static void test_others(void) {
    static const char *const lines[] = {
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  inode",
        "",
        "   0: 00000000:1F90 00000000:0000",
        "   0: 00000000:1F90 0100007F:1000 01" REST "4711 1", /* established */
        "   0: 00000000:0000 00000000:0000 0A" REST "4711 1", /* no port */
        "   0: 00000000:1F90 00000000:0000 0A" REST "0 1",    /* nobody's any more */
        "   0: 000000:1F90 00000000:0000 0A" REST "4711 1",
        "   0: 0000000000000000000000000000000000000000:1F90 00000000:0000 0A" REST "4711 1",
        "   0: -0000000:1F90 00000000:0000 0A" REST "4711 1",
    };
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        DinvPortsSocket socket = {.port = 1};
        g_test_message("%s", lines[i]);
        g_assert_false(dinv_ports_socket_parse(lines[i], false, false, &socket));
        g_assert_cmpuint(socket.port, ==, 1);
    }
}

/* A socket of this process is in the kernel's own table as it is. */
static void test_own(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, len), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &len), ==, 0);
    struct stat status;
    g_assert_cmpint(fstat(fd, &status), ==, 0);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/net/tcp", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint found = 0;
    for (guint i = 0; lines[i] != NULL; i++) {
        DinvPortsSocket socket;
        if (dinv_ports_socket_parse(lines[i], false, false, &socket) &&
            socket.inode == status.st_ino) {
            found++;
            g_assert_cmpstr(socket.address, ==, "127.0.0.1");
            g_assert_cmpuint(socket.port, ==, ntohs(address.sin_port));
        }
    }
    g_assert_cmpuint(found, ==, 1);
    close(fd);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/ports/socket-table/listening", test_listening);
    g_test_add_func("/guest/ports/socket-table/others", test_others);
    g_test_add_func("/guest/ports/socket-table/own", test_own);
    return g_test_run();
}

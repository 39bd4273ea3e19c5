/* SPDX-License-Identifier: MIT */
/* What is found out about a socket by its path, and ports that are taken. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/port.h"
#include "launcher/base/unix-socket.h"

static void test_alive(void) {
    g_autofree char *root = g_dir_make_tmp("dinv-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(root, "socket", NULL);
    struct sockaddr_un address;
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, -ENOENT);
    g_assert_cmpint(dinv_unix_socket_set_address(&address, path), ==, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, 0);
    g_assert_cmpint(listen(fd, 0), ==, 0);
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, 1);
    /* The look before has filled the queue, which is the sign of a program that is busy. */
    g_assert_cmpint(dinv_unix_socket_connect(path, 1), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, 1);
    (void)close(fd);
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, 0);
    g_assert_cmpint(dinv_unix_socket_connect(path, 1), ==, -1);
    g_assert_cmpint(errno, ==, ECONNREFUSED);
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(rmdir(root), ==, 0);
}

static void test_too_long(void) {
    g_autofree char *path = g_strnfill(200, 'x');
    g_assert_cmpint(dinv_unix_socket_connect(path, 1), ==, -1);
    g_assert_cmpint(errno, ==, ENAMETOOLONG);
    g_assert_cmpint(dinv_unix_socket_is_alive(path), ==, -ENAMETOOLONG);
}

static void test_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    guint16 port = ntohs(address.sin_port);
    g_assert_cmpint(dinv_port_try_bind(DINV_PROTOCOL_TCP, address.sin_addr, port), ==, EADDRINUSE);
    (void)close(fd);
    g_assert_cmpint(dinv_port_try_bind(DINV_PROTOCOL_TCP, address.sin_addr, port), ==, 0);
    g_assert_cmpstr(dinv_protocol_name(DINV_PROTOCOL_TCP), ==, "tcp");
    g_assert_cmpstr(dinv_protocol_name(DINV_PROTOCOL_UDP), ==, "udp");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/unix-socket/alive", test_alive);
    g_test_add_func("/unix-socket/too-long", test_too_long);
    g_test_add_func("/port/taken", test_port);
    return g_test_run();
}

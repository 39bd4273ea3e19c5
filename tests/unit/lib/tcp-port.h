/* SPDX-License-Identifier: MIT */
/* TCP ports and clients for tests. */
#pragma once

#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket on a port of the kernel's choice, on all IPv4 addresses. */
static inline int tcp_port_take(guint16 *port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* One that was free a moment ago. */
static inline guint16 tcp_port_find_free(void) {
    guint16 port = 0;

    close(tcp_port_take(&port));
    return port;
}

/* A connection to that numeric address, -1 if there is nobody. */
static inline int tcp_port_connect(const char *host, guint16 port) {
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    gboolean is_ipv4 = inet_pton(AF_INET, host, &ipv4.sin_addr) == 1;
    int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_true(is_ipv4 || inet_pton(AF_INET6, host, &ipv6.sin6_addr) == 1);
    if (fd >= 0 && connect(fd, is_ipv4 ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6,
                           is_ipv4 ? sizeof ipv4 : sizeof ipv6) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Whether this network namespace has the loopback address of IPv6. */
static inline gboolean tcp_port_has_ipv6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return has;
}

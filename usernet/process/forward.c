/* SPDX-License-Identifier: MIT */
/* The socket of a forward. */
#include "usernet/process/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096
/* For bursts of datagrams; cut to net.core.rmem_max. */
#define DATAGRAM_BUFFER (1 << 20)

static socklen_t fill_address(struct sockaddr_storage *address,
                              const DinvUsernetEndpoint *endpoint) {
    memset(address, 0, sizeof(*address));
    if (endpoint->ipv6) {
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons(endpoint->port);
        memcpy(&ipv6->sin6_addr, endpoint->address, 16);
        return sizeof(*ipv6);
    }
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(endpoint->port);
    memcpy(&ipv4->sin_addr, endpoint->address, 4);
    return sizeof(*ipv4);
}

static void set_option(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* A socket of TCP may take a port whose last connections are still in TIME_WAIT; one of UDP with
 * SO_REUSEADDR would share it with another. */
static void set_options(int fd, const DinvUsernetEndpoint *endpoint) {
    if (endpoint->ipv6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (!endpoint->udp) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        return;
    }
    set_option(fd, SOL_SOCKET, SO_RCVBUF, DATAGRAM_BUFFER);
    if (endpoint->ipv6) {
        set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    } else {
        set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    }
}

int dinv_usernet_forward_open(const DinvUsernetEndpoint *endpoint, const char **step) {
    int type = endpoint->udp ? SOCK_DGRAM : SOCK_STREAM;
    struct sockaddr_storage address;
    socklen_t len = fill_address(&address, endpoint);
    *step = "socket";
    int fd = socket(address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    set_options(fd, endpoint);
    *step = "bind";
    int result = bind(fd, (const struct sockaddr *)&address, len);
    if (result == 0 && !endpoint->udp) {
        *step = "listen";
        result = listen(fd, BACKLOG);
    }
    if (result < 0) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

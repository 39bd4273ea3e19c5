/* SPDX-License-Identifier: MIT */
/* Addresses as text and as the kernel has them, and the sockets that listen there. */
#include "launcher/base/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A silent peer is asked after a minute, and given up a minute later. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4

typedef union {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
} SocketAddress;

static gboolean to_socket_address(const char *host, guint16 port, SocketAddress *address,
                                  socklen_t *length) {
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &address->ipv4.sin_addr) == 1) {
        address->ipv4.sin_family = AF_INET;
        address->ipv4.sin_port = htons(port);
        *length = sizeof address->ipv4;
        return TRUE;
    }
    address->ipv6.sin6_family = AF_INET6;
    address->ipv6.sin6_port = htons(port);
    *length = sizeof address->ipv6;
    return inet_pton(AF_INET6, host, &address->ipv6.sin6_addr) == 1;
}

gboolean dinv_tcp_address_parse(const char *text, DinvTcpAddress *address) {
    const char *colon = strrchr(text, ':');
    const char *digits = colon == NULL ? text : colon + 1;
    DinvTcpAddress parsed = {0};
    SocketAddress ignored;
    socklen_t length;
    guint64 port = 0;

    if (!g_ascii_string_to_unsigned(digits, 10, 1, G_MAXUINT16, &port, NULL)) {
        return FALSE;
    }
    parsed.port = (guint16)port;
    if (colon != NULL) {
        gboolean bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
        const char *start = bracketed ? text + 1 : text;
        gsize size = (gsize)(colon - start) - (bracketed ? 1 : 0);
        if (size >= sizeof parsed.host) {
            return FALSE;
        }
        memcpy(parsed.host, start, size);
        /* An IPv6 address has to be bracketed, and nothing else may be. */
        if (!to_socket_address(parsed.host, parsed.port, &ignored, &length) ||
            bracketed != (ignored.any.sa_family == AF_INET6)) {
            return FALSE;
        }
    }
    *address = parsed;
    return TRUE;
}

char *dinv_tcp_address_to_string(const DinvTcpAddress *address) {
    const char *host = address->host[0] != '\0' ? address->host : "*";
    return g_strdup_printf(strchr(host, ':') != NULL ? "tcp://[%s]:%u" : "tcp://%s:%u", host,
                           (guint)address->port);
}

gboolean dinv_tcp_address_is_loopback(const DinvTcpAddress *address) {
    return g_str_has_prefix(address->host, "127.") || strcmp(address->host, "::1") == 0;
}

/* A listening socket, or -1 with errno. */
static int listen_at(const char *host, guint16 port, int backlog) {
    SocketAddress address;
    socklen_t length;
    const int on = 1;
    const int off = 0;
    if (!to_socket_address(host, port, &address, &length)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    /* Old connections that linger keep nobody from listening again. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (address.any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
        bind(fd, &address.any, length) < 0 || listen(fd, backlog) < 0) {
        int code = errno;
        (void)close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

int dinv_tcp_listen(const DinvTcpAddress *address, int backlog, GError **error) {
    gboolean all = address->host[0] == '\0';
    int fd = listen_at(all ? "::" : address->host, address->port, backlog);
    if (fd < 0 && all && errno != EADDRINUSE && errno != EACCES) {
        fd = listen_at("0.0.0.0", address->port, backlog);
    }
    if (fd < 0) {
        int code = errno;
        g_autofree char *text = dinv_tcp_address_to_string(address);
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code), "cannot listen on %s: %s",
                    text, g_strerror(code));
    }
    return fd;
}

void dinv_tcp_set_options(int fd) {
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
    }
}

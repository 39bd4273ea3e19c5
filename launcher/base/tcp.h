/* SPDX-License-Identifier: MIT */
/* Where to listen for TCP connections: read, written, bound. */
#pragma once

#include <gio/gio.h>
#include <netinet/in.h>

typedef struct {
    char host[INET6_ADDRSTRLEN]; /* a numeric address; "": all of them, IPv4 and IPv6 */
    guint16 port;                /* 0: listen nowhere */
} DinvTcpAddress;

/* Reads "2375", "127.0.0.1:2375" or "[::1]:2375"; FALSE if it is nothing of that form. */
gboolean dinv_tcp_address_parse(const char *text, DinvTcpAddress *address);

/* "tcp://127.0.0.1:2375", "tcp://[::1]:2375"; all addresses are a star. Transfer full. */
char *dinv_tcp_address_to_string(const DinvTcpAddress *address);

/* Whether only this machine (or container) itself reaches it. */
gboolean dinv_tcp_address_is_loopback(const DinvTcpAddress *address);

/* A socket (nonblocking, close-on-exec) that listens there, or -1. All addresses means IPv6 and
 * IPv4 by one socket, and IPv4 alone where there is no IPv6. */
int dinv_tcp_listen(const DinvTcpAddress *address, int backlog, GError **error);

/* What every accepted connection gets: no delay for small writes, and an end for peers that are
 * gone without a word. */
void dinv_tcp_set_options(int fd);

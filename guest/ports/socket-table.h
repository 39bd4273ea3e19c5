/* SPDX-License-Identifier: MIT */
/*
 * socket-table: the lines of /proc/net/tcp, tcp6, udp and udp6 (proc(5)), of which those sockets
 * count that wait for clients. No I/O.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool udp;
    char address[INET6_ADDRSTRLEN]; /* IPv4 or IPv6, as text */
    uint16_t port;                  /* 1 to 65535 */
    uint64_t inode;                 /* of the socket; not 0 */
} DinvPortsSocket;

/* Reads one line. True, with *socket set, if it is that of a TCP socket that listens or of a UDP
 * socket that is bound and not connected; false for all else, nonsense included. */
bool dinv_ports_socket_parse(const char *line, bool udp, bool ipv6, DinvPortsSocket *socket);

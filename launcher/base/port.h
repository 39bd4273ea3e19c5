/* SPDX-License-Identifier: MIT */
/* Ports of the outer container: what the two protocols are called, and whether a port is free. */
#pragma once

#include <glib.h>
#include <netinet/in.h>

typedef enum { DINV_PROTOCOL_TCP, DINV_PROTOCOL_UDP } DinvProtocol;

/* "tcp" or "udp". */
const char *dinv_protocol_name(DinvProtocol protocol);

/* Binds the port for a moment. 0 if that works, else an errno. A TCP port whose old connections
 * linger is free for a listener that reuses the address, as all of ours do; UDP ports could be
 * shared that way, so it is not tried with them. Does not block. */
int dinv_port_try_bind(DinvProtocol protocol, struct in_addr address, guint16 port);

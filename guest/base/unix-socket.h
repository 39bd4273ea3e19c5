/* SPDX-License-Identifier: MIT */
/* unix-socket: the client side of a unix stream socket. */
#pragma once

/* Connects to a unix stream socket without blocking. The descriptor (nonblocking, close-on-exec;
 * connected, as unix sockets do that at once), or -errno: -ENOENT and -ECONNREFUSED when nobody
 * listens, -EAGAIN when the listener's queue is full. */
int dinv_unix_socket_connect(const char *path);

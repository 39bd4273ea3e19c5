/* SPDX-License-Identifier: MIT */
/* Unix stream sockets that are reached by a path in the file system. */
#pragma once

#include <glib.h>
#include <sys/un.h>

/* Puts the path into an address. -1 with errno ENAMETOOLONG if it does not fit; 0. */
int dinv_unix_socket_set_address(struct sockaddr_un *address,
                                 const char *path) G_GNUC_WARN_UNUSED_RESULT;

/* Connects to the socket at `path`. Blocks for at most `timeout_s` seconds, also when the queue of
 * the program that listens is full; the limit stays with the socket for what is sent over it. The
 * descriptor (blocking, close-on-exec, the caller's), or -1 with errno set. */
int dinv_unix_socket_connect(const char *path, guint timeout_s) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a program listens at the socket `path`: 1, also when its queue is full; 0 if the program
 * that made it is gone; or -errno, when that cannot be known (-EACCES, -EPROTOTYPE, …). Does not
 * block. */
int dinv_unix_socket_is_alive(const char *path) G_GNUC_WARN_UNUSED_RESULT;

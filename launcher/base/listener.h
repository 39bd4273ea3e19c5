/* SPDX-License-Identifier: MIT */
/*
 * A socket that listens, unix or TCP. A unix socket is never seen half made: it is bound under a
 * temporary name in the same directory (made if it is missing), given its mode and owner, then
 * renamed to its path. A dead socket that is in the way is replaced, a live one is an error.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

#include "launcher/base/tcp.h"

typedef struct DinvListener DinvListener;

/* A unix socket. `uid` and `gid` of -1 leave the owner alone. Connections wait in the kernel's
 * queue until dinv_listener_accept_to(): a client that comes before the engine is up simply
 * waits. */
DinvListener *dinv_listener_new(const char *path, mode_t mode, uid_t uid, gid_t gid,
                                GError **error);
/* A TCP socket (dinv_tcp_listen). */
DinvListener *dinv_listener_new_tcp(const DinvTcpAddress *address, GError **error);
/* Removes the path of a unix socket as well, if it is still that socket. */
void dinv_listener_free(DinvListener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvListener, dinv_listener_free)

/* From now on gives every connection (nonblocking, close-on-exec, owned by the callee) to
 * `accepted`, from the default GMainContext. */
void dinv_listener_accept_to(DinvListener *listener, void (*accepted)(int fd, gpointer user),
                             gpointer user);

/* Until dinv_listener_accept_to() is called again, connections wait in the kernel's queue. Also
 * from within `accepted`. */
void dinv_listener_pause(DinvListener *listener);

/* The path, or "tcp://…". Borrowed. */
const char *dinv_listener_get_name(const DinvListener *listener);

/* SPDX-License-Identifier: MIT */
/*
 * ping: asks a Docker engine on a unix socket for `GET /_ping` until it answers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "guest/base/loop.h"

#define DINV_PING_REPLY_MAX   8192u
#define DINV_PING_VERSION_MAX 64u

/* The reply being collected; zero-initialise. */
typedef struct {
    char text[DINV_PING_REPLY_MAX + 1];
    size_t len;
} DinvEnginePingReply;

/* Adds bytes of an HTTP/1 reply, in any split; `end` says that the peer has closed after them. 1:
 * the engine is up, and `version` is that of its Server header ("" if it has none); 0: more is
 * needed; -EAGAIN: a whole reply which says no (not yet); -EPROTO: not a reply to a ping. */
int dinv_engine_ping_reply_add(DinvEnginePingReply *reply, const char *bytes, size_t len, bool end,
                               char version[static DINV_PING_VERSION_MAX]);

typedef struct DinvEnginePing DinvEnginePing;
typedef void (*DinvEnginePingCallback)(void *user, const char *version);

/* Calls back once, when the engine at `socket_path` has said that it is up; tries for ever. The
 * callback may free the ping. NULL if out of memory. */
DinvEnginePing *dinv_engine_ping_new(DinvLoop *loop, const char *socket_path,
                                     DinvEnginePingCallback callback, void *user);
void dinv_engine_ping_free(DinvEnginePing *ping);

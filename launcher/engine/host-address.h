/* SPDX-License-Identifier: MIT */
/* The addresses that dockerd's --host takes: unix://PATH and tcp://ADDRESS:PORT. */
#pragma once

#include "launcher/base/tcp.h"

typedef struct {
    char *path;         /* of a unix socket, absolute; NULL: it is TCP */
    DinvTcpAddress tcp; /* a numeric address */
} DinvEngineHostAddress;

/* Reads one as dockerd does: without a scheme it is TCP, without a host the loopback, without a
 * port 2376 with TLS and 2375 without, and an empty text is the usual unix socket. A host's name
 * is looked up, which may block for as long as the resolver takes. FALSE with a
 * G_IO_ERROR_INVALID_ARGUMENT whose message quotes the text. */
gboolean dinv_engine_host_address_parse(const char *text, gboolean tls,
                                        DinvEngineHostAddress *address, GError **error);
void dinv_engine_host_address_clear(DinvEngineHostAddress *address);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DinvEngineHostAddress, dinv_engine_host_address_clear)

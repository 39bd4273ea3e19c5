/* SPDX-License-Identifier: MIT */
/*
 * DNS messages on a nonblocking TCP socket, each with its length before it (RFC 1035, 4.2.2); for
 * either side of a connection. One message at a time in each direction. The peer is not trusted: it
 * can make a stream hold one message, 64 KiB.
 */
#pragma once

#include <glib.h>

typedef struct {
    int fd; /* owned */
    GByteArray *in;
    GByteArray *out;
    gsize sent;
} DinvDnsStream;

typedef enum {
    DINV_DNS_STREAM_DONE,
    DINV_DNS_STREAM_AGAIN,
    DINV_DNS_STREAM_FAILED
} DinvDnsProgress;

/* Takes `fd`. */
void dinv_dns_stream_init(DinvDnsStream *stream, int fd);
/* Closes the socket. */
void dinv_dns_stream_clear(DinvDnsStream *stream);

/* The message to be written next, copied; `len` is at most 65535. */
void dinv_dns_stream_put(DinvDnsStream *stream, const guint8 *message, gsize len);
/* Writes it, or what is left of it. AGAIN: when the socket can be written to. */
DinvDnsProgress dinv_dns_stream_write(DinvDnsStream *stream);

/* Reads until there is a whole message, which dinv_dns_stream_get() gives until the next call.
 * AGAIN: when there is more to read; FAILED also at the end of the stream. */
DinvDnsProgress dinv_dns_stream_read(DinvDnsStream *stream);
const guint8 *dinv_dns_stream_get(const DinvDnsStream *stream, gsize *len);

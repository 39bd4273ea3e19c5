/* SPDX-License-Identifier: MIT */
/* Never waits, and never reads beyond the end of the message that it is in. */
#include "launcher/dns/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_SIZE 2u

void dinv_dns_stream_init(DinvDnsStream *stream, int fd) {
    *stream = (DinvDnsStream){.fd = fd, .in = g_byte_array_new(), .out = g_byte_array_new()};
}

void dinv_dns_stream_clear(DinvDnsStream *stream) {
    if (stream->in == NULL) {
        return;
    }
    (void)close(stream->fd);
    g_clear_pointer(&stream->in, g_byte_array_unref);
    g_clear_pointer(&stream->out, g_byte_array_unref);
}

void dinv_dns_stream_put(DinvDnsStream *stream, const guint8 *message, gsize len) {
    const guint8 prefix[LENGTH_SIZE] = {(guint8)(len >> 8), (guint8)len};
    g_byte_array_set_size(stream->out, 0);
    g_byte_array_append(stream->out, prefix, LENGTH_SIZE);
    g_byte_array_append(stream->out, message, (guint)len);
    stream->sent = 0;
}

DinvDnsProgress dinv_dns_stream_write(DinvDnsStream *stream) {
    while (stream->sent < stream->out->len) {
        ssize_t count = send(stream->fd, stream->out->data + stream->sent,
                             stream->out->len - stream->sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR) {
            return errno == EAGAIN ? DINV_DNS_STREAM_AGAIN : DINV_DNS_STREAM_FAILED;
        }
        stream->sent += count > 0 ? (gsize)count : 0;
    }
    return DINV_DNS_STREAM_DONE;
}

/* The size that `in` must get to: first the length, then the whole. */
static gsize get_target(const DinvDnsStream *stream) {
    const guint8 *data = stream->in->data;
    return stream->in->len < LENGTH_SIZE ? LENGTH_SIZE
                                         : LENGTH_SIZE + ((gsize)data[0] << 8 | data[1]);
}

DinvDnsProgress dinv_dns_stream_read(DinvDnsStream *stream) {
    if (stream->in->len >= LENGTH_SIZE && stream->in->len == get_target(stream)) {
        g_byte_array_set_size(stream->in, 0); /* the last message */
    }
    for (;;) {
        guint8 buffer[4096];
        gsize wanted = get_target(stream) - stream->in->len;
        ssize_t count = recv(stream->fd, buffer, MIN(wanted, sizeof buffer), 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 && errno == EAGAIN ? DINV_DNS_STREAM_AGAIN : DINV_DNS_STREAM_FAILED;
        }
        g_byte_array_append(stream->in, buffer, (guint)count);
        if (stream->in->len > LENGTH_SIZE && stream->in->len == get_target(stream)) {
            return DINV_DNS_STREAM_DONE;
        }
        if (stream->in->len == LENGTH_SIZE && get_target(stream) == LENGTH_SIZE) {
            return DINV_DNS_STREAM_FAILED; /* a message without a byte is none */
        }
    }
}

const guint8 *dinv_dns_stream_get(const DinvDnsStream *stream, gsize *len) {
    *len = stream->in->len - LENGTH_SIZE;
    return stream->in->data + LENGTH_SIZE;
}

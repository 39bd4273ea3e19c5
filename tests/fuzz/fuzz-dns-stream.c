/* SPDX-License-Identifier: MIT */
/* Messages on a connection: the first byte says in pieces of how many bytes the rest comes. What is
 * read must be what is there by the lengths before each message, however it was cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/dns/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the messages that are whole by now. FALSE: the stream is over. */
static gboolean take(DinvDnsStream *stream, const uint8_t **at, const uint8_t *end) {
    DinvDnsProgress progress;
    while ((progress = dinv_dns_stream_read(stream)) == DINV_DNS_STREAM_DONE) {
        gsize len;
        const guint8 *message = dinv_dns_stream_get(stream, &len);
        if (end - *at < 2 || len != ((gsize)(*at)[0] << 8 | (*at)[1]) ||
            (gsize)(end - *at) < 2 + len || memcmp(message, *at + 2, len) != 0) {
            abort();
        }
        *at += 2 + len;
    }
    return progress != DINV_DNS_STREAM_FAILED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int ends[2];
    if (size < 2 || size > 32768 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        return 0;
    }
    DinvDnsStream stream;
    dinv_dns_stream_init(&stream, ends[0]);
    const uint8_t *at = data + 1; /* of the next message */
    const uint8_t *end = data + size;
    const uint8_t *sent = at;
    size_t piece = data[0] != 0 ? data[0] : size;
    gboolean open = TRUE;
    while (open && sent < end) {
        size_t count = MIN(piece, (size_t)(end - sent));
        if (write(ends[1], sent, count) != (ssize_t)count) {
            abort();
        }
        sent += count;
        open = take(&stream, &at, sent);
    }
    /* What is left is the beginning of a message, or one without a byte. */
    gsize left = (gsize)(sent - at);
    gsize len = left >= 2 ? (gsize)at[0] << 8 | at[1] : 0;
    if (open ? left >= 2 && left >= 2 + len : left < 2 || len != 0) {
        abort();
    }
    close(ends[1]);
    dinv_dns_stream_clear(&stream);
    return 0;
}

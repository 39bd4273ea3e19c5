/* SPDX-License-Identifier: MIT */
/*
 * Frames of a guest, into a real libslirp and all that stands before it. The input is a row of
 * frames, each behind two bytes with its length; checksums are put right, as random ones would
 * never come far. No socket connects or sends anywhere.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "usernet/process/network-internal.h"

#define FRAMES_MAX  64
#define DRAINED_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Instead of the C library's, for libslirp too. */
int fuzz_connect(int fd, const struct sockaddr *address, socklen_t len) __asm__("connect");
ssize_t fuzz_sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
                    socklen_t len) __asm__("sendto");

int fuzz_connect(int fd, const struct sockaddr *address, socklen_t len) {
    (void)fd;
    (void)address;
    (void)len;
    errno = EINPROGRESS;
    return -1;
}

ssize_t fuzz_sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
                    socklen_t len) {
    (void)fd;
    (void)bytes;
    (void)flags;
    (void)to;
    (void)len;
    return (ssize_t)size;
}

static void fix_checksums(uint8_t *frame, size_t len) {
    DinvUsernetPacket packet;
    if (!dinv_usernet_packet_parse(frame, len, &packet)) {
        return;
    }
    uint8_t *ip = frame + DINV_USERNET_ETHERNET_SIZE;
    uint8_t *body = frame + (packet.body - frame);
    dinv_usernet_put_u16(ip + 10, 0);
    dinv_usernet_put_u16(ip + 10, dinv_usernet_checksum(ip, (size_t)(body - ip), 0));
    size_t at = packet.protocol == DINV_USERNET_PROTOCOL_TCP    ? 16
                : packet.protocol == DINV_USERNET_PROTOCOL_UDP  ? 6
                : packet.protocol == DINV_USERNET_PROTOCOL_ICMP ? 2
                                                                : packet.body_len;
    if (at + 2 > packet.body_len || packet.fragment_offset > 0 || packet.more_fragments) {
        return;
    }
    uint32_t sum = packet.protocol == DINV_USERNET_PROTOCOL_ICMP
                       ? 0
                       : dinv_usernet_pseudo_sum(packet.source, packet.destination, packet.protocol,
                                                 packet.body_len);
    dinv_usernet_put_u16(body + at, 0);
    dinv_usernet_put_u16(body + at, dinv_usernet_checksum(body, packet.body_len, sum));
}

/* As the machine would take them. */
static void drain(int fd) {
    static uint8_t frame[DINV_USERNET_FRAME_MAX];
    for (int i = 0; i < DRAINED_MAX && recv(fd, frame, sizeof(frame), MSG_DONTWAIT) >= 0; i++) {
    }
}

static void feed(DinvUsernetNetwork *network, int machine, const uint8_t *data, size_t size) {
    for (int i = 0; i < FRAMES_MAX && size >= 2; i++) {
        size_t len = dinv_usernet_get_u16(data);
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        uint8_t *frame = malloc(len + 1); /* exactly as long, for the sanitizer */
        if (frame == NULL) {
            return;
        }
        memcpy(frame, data, len);
        fix_checksums(frame, len);
        dinv_usernet_stack_input(network, frame, len);
        free(frame);
        data += len;
        size -= len;
        (void)dinv_usernet_stack_fill(network);
        dinv_usernet_ends_tick(network);
        dinv_usernet_stack_poll(network);
        drain(machine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const DinvUsernetConfig config = {.network.s_addr = htonl(0x0a000200),
                                      .mask.s_addr = htonl(0xffffff00),
                                      .mtu = 65520,
                                      .probe_ns = 1};
    int frames[2];
    const char *problem = NULL;
    DinvUsernetLoop *loop = dinv_usernet_loop_new();
    if (loop == NULL || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, frames) < 0) {
        abort();
    }
    DinvUsernetNetwork *network = dinv_usernet_network_new(loop, frames[0], &config, &problem);
    if (network == NULL) {
        abort();
    }
    feed(network, frames[1], data, size);
    dinv_usernet_network_free(network);
    dinv_usernet_loop_free(loop);
    (void)close(frames[0]);
    (void)close(frames[1]);
    return 0;
}

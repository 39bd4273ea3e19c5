/* SPDX-License-Identifier: MIT */
/*
 * frame: the bytes of docs/relay-protocol.md, "Frames" and "Hello". Encoding, decoding, and the
 * search for a hello among bytes that belong to nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DINV_RELAY_VERSION     1u
#define DINV_RELAY_HEADER_SIZE 8u
#define DINV_RELAY_HELLO_SIZE  48u
/* Largest payload a frame may have. */
#define DINV_RELAY_PAYLOAD_MAX 65536u
/* Zero bytes before the first hello: enough to end any frame that the peer is in the middle of. */
#define DINV_RELAY_PADDING (DINV_RELAY_PAYLOAD_MAX + DINV_RELAY_HEADER_SIZE)
/* Largest window that a hello may name, and largest errno on the wire. */
#define DINV_RELAY_WINDOW_MAX (1u << 30)
#define DINV_RELAY_ERRNO_MAX  4095u

typedef enum {
    DINV_RELAY_FRAME_PAD = 0x00, /* this one byte; no header follows */
    DINV_RELAY_FRAME_OPEN = 0x01,
    DINV_RELAY_FRAME_ACCEPT = 0x02,
    DINV_RELAY_FRAME_REFUSED = 0x03,
    DINV_RELAY_FRAME_DATA = 0x04,
    DINV_RELAY_FRAME_CREDIT = 0x05,
    DINV_RELAY_FRAME_FIN = 0x06,
    DINV_RELAY_FRAME_RESET = 0x07,
    DINV_RELAY_FRAME_HELLO = 0xd1,
} DinvRelayFrameType;

typedef struct {
    uint8_t type;
    uint32_t length; /* of the payload; 24 bits on the wire */
    uint32_t stream;
} DinvRelayHeader;

void dinv_relay_put_u32(uint8_t out[static 4], uint32_t value);
uint32_t dinv_relay_get_u32(const uint8_t in[static 4]);

void dinv_relay_header_encode(uint8_t out[static DINV_RELAY_HEADER_SIZE], DinvRelayFrameType type,
                              uint32_t length, uint32_t stream);
/* False if no frame has this type, or not this length. */
bool dinv_relay_header_decode(const uint8_t in[static DINV_RELAY_HEADER_SIZE],
                              DinvRelayHeader *header);

typedef struct {
    uint16_t version;
    uint8_t role;   /* DinvRelayRole of the sender */
    bool answering; /* `answers` means something */
    uint32_t window;
    uint64_t epoch;
    uint64_t answers; /* the epoch of the hello that this one answers */
} DinvRelayHello;

/* A whole frame, header included. */
void dinv_relay_hello_encode(uint8_t out[static DINV_RELAY_HELLO_SIZE],
                             const DinvRelayHello *hello);
/* False if the magic or the checksum is wrong. */
bool dinv_relay_hello_decode(const uint8_t in[static DINV_RELAY_HELLO_SIZE], DinvRelayHello *hello);

/* Finds hellos in arbitrary bytes; zero-initialise. */
typedef struct {
    uint8_t bytes[DINV_RELAY_HELLO_SIZE];
    size_t len;
} DinvRelayHelloFinder;

/* Looks through `bytes` up to the end of the first hello; returns how many bytes were used up. */
size_t dinv_relay_hello_find(DinvRelayHelloFinder *finder, const uint8_t *bytes, size_t len,
                             DinvRelayHello *hello, bool *found);

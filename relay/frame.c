/* SPDX-License-Identifier: MIT */
/* frame: headers and hellos to bytes and back, see frame.h. What is read is untrusted. */
#include "relay/frame.h"

#include <string.h>

#include "relay/mux.h"

#define MAGIC_SIZE 16u

/* Header (type, length 40, "dinv" where other frames have the stream) and the first eight bytes of
 * the payload. The first byte does not come again within. */
static const uint8_t magic[MAGIC_SIZE] = {DINV_RELAY_FRAME_HELLO,
                                          0,
                                          0,
                                          DINV_RELAY_HELLO_SIZE - DINV_RELAY_HEADER_SIZE,
                                          'd',
                                          'i',
                                          'n',
                                          'v',
                                          'r',
                                          'e',
                                          'l',
                                          'a',
                                          'y',
                                          '\r',
                                          '\n',
                                          0x1a};

/* Where the fields of a hello are, from the start of the frame. */
enum {
    AT_VERSION = 16,
    AT_ROLE = 18,
    AT_FLAGS = 19,
    AT_WINDOW = 20,
    AT_EPOCH = 24,
    AT_ANSWERS = 32,
    AT_RESERVED = 40,
    AT_CHECKSUM = 44,
};
#define FLAG_ANSWERING 0x01u

static void put_u64(uint8_t *out, uint64_t value) {
    dinv_relay_put_u32(out, (uint32_t)(value >> 32));
    dinv_relay_put_u32(out + 4, (uint32_t)value);
}

static uint64_t get_u64(const uint8_t *in) {
    return (uint64_t)dinv_relay_get_u32(in) << 32 | dinv_relay_get_u32(in + 4);
}

void dinv_relay_put_u32(uint8_t out[static 4], uint32_t value) {
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

uint32_t dinv_relay_get_u32(const uint8_t in[static 4]) {
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void dinv_relay_header_encode(uint8_t out[static DINV_RELAY_HEADER_SIZE], DinvRelayFrameType type,
                              uint32_t length, uint32_t stream) {
    dinv_relay_put_u32(out, length);
    out[0] = (uint8_t)type;
    dinv_relay_put_u32(out + 4, stream);
}

static bool frame_length_fits(const DinvRelayHeader *header) {
    switch (header->type) {
    case DINV_RELAY_FRAME_OPEN:
        return header->length >= 2 &&
               header->length <= 1 + DINV_RELAY_SERVICE_MAX + DINV_RELAY_ARGUMENT_MAX;
    case DINV_RELAY_FRAME_DATA:
        return header->length >= 1 && header->length <= DINV_RELAY_PAYLOAD_MAX;
    case DINV_RELAY_FRAME_ACCEPT:
    case DINV_RELAY_FRAME_FIN:
        return header->length == 0;
    case DINV_RELAY_FRAME_REFUSED:
    case DINV_RELAY_FRAME_CREDIT:
    case DINV_RELAY_FRAME_RESET:
        return header->length == 4;
    case DINV_RELAY_FRAME_HELLO:
        return header->length == DINV_RELAY_HELLO_SIZE - DINV_RELAY_HEADER_SIZE;
    default:
        return false;
    }
}

bool dinv_relay_header_decode(const uint8_t in[static DINV_RELAY_HEADER_SIZE],
                              DinvRelayHeader *header) {
    header->type = in[0];
    header->length = dinv_relay_get_u32(in) & 0xffffffu;
    header->stream = dinv_relay_get_u32(in + 4);
    return frame_length_fits(header);
}

/* CRC-32 as in IEEE 802.3, bit by bit: a hello is rare and short. */
static uint32_t checksum(const uint8_t *bytes, size_t len) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
        }
    }
    return ~crc;
}

void dinv_relay_hello_encode(uint8_t out[static DINV_RELAY_HELLO_SIZE],
                             const DinvRelayHello *hello) {
    memcpy(out, magic, MAGIC_SIZE);
    out[AT_VERSION] = (uint8_t)(hello->version >> 8);
    out[AT_VERSION + 1] = (uint8_t)hello->version;
    out[AT_ROLE] = hello->role;
    out[AT_FLAGS] = hello->answering ? FLAG_ANSWERING : 0;
    dinv_relay_put_u32(out + AT_WINDOW, hello->window);
    put_u64(out + AT_EPOCH, hello->epoch);
    put_u64(out + AT_ANSWERS, hello->answering ? hello->answers : 0);
    dinv_relay_put_u32(out + AT_RESERVED, 0);
    dinv_relay_put_u32(out + AT_CHECKSUM, checksum(out, AT_CHECKSUM));
}

bool dinv_relay_hello_decode(const uint8_t in[static DINV_RELAY_HELLO_SIZE],
                             DinvRelayHello *hello) {
    if (memcmp(in, magic, MAGIC_SIZE) != 0 ||
        dinv_relay_get_u32(in + AT_CHECKSUM) != checksum(in, AT_CHECKSUM)) {
        return false;
    }
    *hello = (DinvRelayHello){
        .version = (uint16_t)((unsigned)in[AT_VERSION] << 8 | in[AT_VERSION + 1]),
        .role = in[AT_ROLE],
        .answering = (in[AT_FLAGS] & FLAG_ANSWERING) != 0,
        .window = dinv_relay_get_u32(in + AT_WINDOW),
        .epoch = get_u64(in + AT_EPOCH),
        .answers = get_u64(in + AT_ANSWERS),
    };
    return true;
}

/* Whether what the finder holds may be the beginning of a hello. */
static bool finder_matches(const DinvRelayHelloFinder *finder, size_t from) {
    size_t len = finder->len - from;
    return memcmp(finder->bytes + from, magic, len < MAGIC_SIZE ? len : MAGIC_SIZE) == 0;
}

/* Drops at least one byte, and then up to the next place where a hello may begin. */
static void finder_shift(DinvRelayHelloFinder *finder) {
    size_t from = 1;
    while (from < finder->len && !finder_matches(finder, from)) {
        from++;
    }
    finder->len -= from;
    memmove(finder->bytes, finder->bytes + from, finder->len);
}

size_t dinv_relay_hello_find(DinvRelayHelloFinder *finder, const uint8_t *bytes, size_t len,
                             DinvRelayHello *hello, bool *found) {
    size_t used = 0;
    *found = false;
    while (used < len) {
        if (finder->len == 0) {
            const uint8_t *start = memchr(bytes + used, magic[0], len - used);
            if (start == NULL) {
                return len;
            }
            used = (size_t)(start - bytes);
        }
        finder->bytes[finder->len++] = bytes[used++];
        if (!finder_matches(finder, 0)) {
            finder_shift(finder);
        } else if (finder->len == DINV_RELAY_HELLO_SIZE) {
            if (dinv_relay_hello_decode(finder->bytes, hello)) {
                finder->len = 0;
                *found = true;
                return used;
            }
            finder_shift(finder);
        }
    }
    return used;
}

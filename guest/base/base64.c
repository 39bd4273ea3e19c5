/* SPDX-License-Identifier: MIT */
/* A decoder that accepts the canonical padded form only. */
#include "guest/base/base64.h"

#include <errno.h>

static int sextet(char character) {
    if (character >= 'A' && character <= 'Z') {
        return character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return character - 'a' + 26;
    }
    if (character >= '0' && character <= '9') {
        return character - '0' + 52;
    }
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

ssize_t dinv_base64_decode(const char *text, size_t len, uint8_t *bytes, size_t cap) {
    if (len % 4 != 0) {
        return -EINVAL;
    }
    size_t padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=') {
        padding++;
    }
    size_t total = len / 4 * 3 - padding;
    if (total > cap) {
        return -ENOSPC;
    }
    size_t written = 0;
    uint32_t bits = 0;
    for (size_t index = 0; index < len; index++) {
        int value = index < len - padding ? sextet(text[index]) : 0;
        if (value < 0) {
            return -EINVAL;
        }
        bits = bits << 6 | (uint32_t)value;
        if (index % 4 == 3) {
            for (unsigned shift = 16; written < total; shift -= 8) {
                bytes[written++] = (uint8_t)(bits >> shift);
                if (shift == 0) {
                    break;
                }
            }
        }
    }
    return (ssize_t)total;
}

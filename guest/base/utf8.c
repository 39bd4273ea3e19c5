/* SPDX-License-Identifier: MIT */
/* One function looks at a single character, the others walk through the text by it. */
#include "guest/base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What begins at a place of a text: a character, or the maximal part of one that can be none. */
typedef struct {
    size_t len; /* at least 1 */
    bool valid;
    bool cut; /* not valid, but more bytes behind the text's end could make it so */
} Sequence;

static bool is_between(unsigned char byte, unsigned char lowest, unsigned char highest) {
    return byte >= lowest && byte <= highest;
}

/* `len` is at least 1. */
static Sequence read_sequence(const char *text, size_t len) {
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char lead = bytes[0];
    if (lead < 0x80) {
        return (Sequence){.len = 1, .valid = lead != '\0'};
    }
    size_t want = is_between(lead, 0xc2, 0xdf)   ? 2
                  : is_between(lead, 0xe0, 0xef) ? 3
                  : is_between(lead, 0xf0, 0xf4) ? 4
                                                 : 0;
    if (want == 0) {
        return (Sequence){.len = 1};
    }
    for (size_t index = 1; index < want; index++) {
        if (index == len) {
            return (Sequence){.len = index, .cut = true};
        }
        /* The second byte tells overlong forms, surrogates, and what is beyond U+10FFFF. */
        unsigned char lowest = index > 1 ? 0x80 : lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        unsigned char highest = index > 1 ? 0xbf : lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (!is_between(bytes[index], lowest, highest)) {
            return (Sequence){.len = index};
        }
    }
    return (Sequence){.len = want, .valid = true};
}

size_t dinv_utf8_cut(const char *text, size_t len) {
    /* A character has at most four bytes: one of the last three may begin one that was split. */
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        Sequence sequence = read_sequence(text + len - back, back);
        if (sequence.cut && sequence.len == back) {
            return len - back;
        }
    }
    return len;
}

size_t dinv_utf8_copy(char *to, size_t cap, const char *text, size_t len) {
    size_t written = 0;
    for (size_t at = 0; at < len;) {
        Sequence sequence = read_sequence(text + at, len - at);
        const char *from = sequence.valid ? text + at : DINV_UTF8_REPLACEMENT;
        size_t part = sequence.valid ? sequence.len : strlen(DINV_UTF8_REPLACEMENT);
        if (part > cap - 1 - written) {
            break;
        }
        memcpy(to + written, from, part);
        written += part;
        at += sequence.len;
    }
    to[written] = '\0';
    return written;
}

char *dinv_utf8_make_valid(const char *text, size_t len) {
    size_t cap = len * DINV_UTF8_GROWTH + 1;
    char *copy = malloc(cap);
    if (copy != NULL) {
        (void)dinv_utf8_copy(copy, cap, text, len);
    }
    return copy;
}

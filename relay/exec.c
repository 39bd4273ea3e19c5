/* SPDX-License-Identifier: MIT */
/* exec: records of the exec service written and read, see exec.h. What is read is untrusted. */
#include "relay/exec.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define RESIZE_SIZE 4u
#define SIGNAL_SIZE 1u
#define EXIT_SIZE   5u

void dinv_exec_header(uint8_t header[static DINV_EXEC_HEADER], DinvExecType type, uint32_t len) {
    header[0] = (uint8_t)type;
    header[1] = (uint8_t)(len >> 24);
    header[2] = (uint8_t)(len >> 16);
    header[3] = (uint8_t)(len >> 8);
    header[4] = (uint8_t)len;
}

static bool type_is_data(uint8_t type) {
    return type == DINV_EXEC_STDIN || type == DINV_EXEC_STDOUT || type == DINV_EXEC_STDERR;
}

static bool record_length_fits(uint8_t type, uint32_t len) {
    switch (type) {
    case DINV_EXEC_STDIN: /* empty: end of file */
        return len <= DINV_EXEC_PAYLOAD_MAX;
    case DINV_EXEC_STDOUT:
    case DINV_EXEC_STDERR:
        return len >= 1 && len <= DINV_EXEC_PAYLOAD_MAX;
    case DINV_EXEC_RESIZE:
        return len == RESIZE_SIZE;
    case DINV_EXEC_SIGNAL:
        return len == SIGNAL_SIZE;
    case DINV_EXEC_EXIT:
        return len == EXIT_SIZE;
    default:
        return false;
    }
}

/* Takes header bytes; 0, or -EPROTO for a whole header that is wrong. */
static int parse_header(DinvExecParser *parser, const uint8_t *bytes, size_t len, size_t *used,
                        const DinvExecCallbacks *callbacks, void *user) {
    size_t want = DINV_EXEC_HEADER - parser->header_len;
    size_t part = len < want ? len : want;
    memcpy(parser->header + parser->header_len, bytes, part);
    parser->header_len = (uint8_t)(parser->header_len + part);
    *used = part;
    if (parser->header_len < DINV_EXEC_HEADER) {
        return 0;
    }
    parser->remaining = (uint32_t)parser->header[1] << 24 | (uint32_t)parser->header[2] << 16 |
                        (uint32_t)parser->header[3] << 8 | parser->header[4];
    parser->small_len = 0;
    if (!record_length_fits(parser->header[0], parser->remaining)) {
        /* Stays wrong: whatever comes next is answered the same way. */
        parser->header[0] = 0;
        return -EPROTO;
    }
    if (parser->remaining == 0) {
        parser->header_len = 0;
        callbacks->data(user, (DinvExecType)parser->header[0], bytes + part, 0);
    }
    return 0;
}

static void parse_payload(DinvExecParser *parser, const uint8_t *bytes, size_t len, size_t *used,
                          const DinvExecCallbacks *callbacks, void *user) {
    DinvExecType type = (DinvExecType)parser->header[0];
    size_t part = len < parser->remaining ? len : parser->remaining;
    *used = part;
    parser->remaining -= (uint32_t)part;
    if (parser->remaining == 0) {
        parser->header_len = 0;
    }
    if (type_is_data(parser->header[0])) {
        callbacks->data(user, type, bytes, part);
        return;
    }
    memcpy(parser->small + parser->small_len, bytes, part);
    parser->small_len = (uint8_t)(parser->small_len + part);
    if (parser->remaining == 0) {
        callbacks->control(user, type, parser->small, parser->small_len);
    }
}

int dinv_exec_parse(DinvExecParser *parser, const uint8_t *bytes, size_t len,
                    const DinvExecCallbacks *callbacks, void *user) {
    while (len > 0) {
        size_t used = 0;
        if (parser->header_len < DINV_EXEC_HEADER) {
            int result = parse_header(parser, bytes, len, &used, callbacks, user);
            if (result < 0) {
                return result;
            }
        } else if (parser->header[0] == 0) {
            return -EPROTO;
        } else {
            parse_payload(parser, bytes, len, &used, callbacks, user);
        }
        bytes += used;
        len -= used;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Requests and replies of docs/usernet.md, "Control": written, and read with every field
 * checked. */
#include "usernet/protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ERRNO_MAX 4095u

/* What is left of a message. */
typedef struct {
    const char *at;
    const char *end;
    bool failed;
} Reader;

static bool is_printable(char byte) {
    return byte >= 0x20 && byte < 0x7f;
}

/* The next field, up to a space or the end; len 0 if there is none. Its space is taken as well,
 * so a message that ends in a space has an empty field at its end. */
static const char *next_field(Reader *reader, size_t *len) {
    const char *field = reader->at;
    *len = 0;
    if (field == NULL) {
        reader->failed = true;
        return NULL;
    }
    const char *space = memchr(field, ' ', (size_t)(reader->end - field));
    const char *stop = space != NULL ? space : reader->end;
    *len = (size_t)(stop - field);
    reader->at = space != NULL ? space + 1 : NULL;
    if (*len == 0) {
        reader->failed = true;
    }
    return field;
}

static bool field_is(const char *field, size_t len, const char *word) {
    return len == strlen(word) && memcmp(field, word, len) == 0;
}

/* Decimal, no sign, no leading zero. */
static uint64_t next_number(Reader *reader, uint64_t min, uint64_t max) {
    size_t len;
    const char *field = next_field(reader, &len);
    uint64_t value = 0;
    if (reader->failed || (len > 1 && field[0] == '0')) {
        reader->failed = true;
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)field[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            reader->failed = true;
            return 0;
        }
        value = value * 10 + digit;
    }
    if (value < min || value > max) {
        reader->failed = true;
        return 0;
    }
    return value;
}

void dinv_usernet_address_format(const DinvUsernetEndpoint *endpoint,
                                 char out[static DINV_USERNET_ADDRESS_SIZE]) {
    if (inet_ntop(endpoint->ipv6 ? AF_INET6 : AF_INET, endpoint->address, out,
                  DINV_USERNET_ADDRESS_SIZE) == NULL) {
        out[0] = '\0';
    }
}

bool dinv_usernet_address_parse(const char *text, DinvUsernetEndpoint *endpoint) {
    uint8_t address[16] = {0};
    bool ipv6 = strchr(text, ':') != NULL;
    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, text, address) != 1) {
        return false;
    }
    endpoint->ipv6 = ipv6;
    memcpy(endpoint->address, address, sizeof(address));
    return true;
}

bool dinv_usernet_endpoint_equal(const DinvUsernetEndpoint *a, const DinvUsernetEndpoint *b) {
    return a->udp == b->udp && a->ipv6 == b->ipv6 && a->port == b->port &&
           memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static void next_endpoint(Reader *reader, DinvUsernetEndpoint *endpoint) {
    size_t len;
    const char *field = next_field(reader, &len);
    endpoint->udp = !reader->failed && field_is(field, len, "udp");
    if (reader->failed || (!endpoint->udp && !field_is(field, len, "tcp"))) {
        reader->failed = true;
        return;
    }
    field = next_field(reader, &len);
    char text[DINV_USERNET_ADDRESS_SIZE];
    if (reader->failed || len >= sizeof(text) || memchr(field, '\0', len) != NULL) {
        reader->failed = true;
        return;
    }
    memcpy(text, field, len);
    text[len] = '\0';
    if (!dinv_usernet_address_parse(text, endpoint)) {
        reader->failed = true;
        return;
    }
    endpoint->port = (uint16_t)next_number(reader, 1, UINT16_MAX);
}

/* Nothing may follow the last field. */
static bool is_done(const Reader *reader) {
    return !reader->failed && reader->at == NULL;
}

int dinv_usernet_request_decode(const char *message, size_t len, DinvUsernetRequest *request,
                                uint32_t *id) {
    static const char *const verbs[] = {
        [DINV_USERNET_ADD] = "add",
        [DINV_USERNET_REMOVE] = "remove",
        [DINV_USERNET_LIST] = "list",
        [DINV_USERNET_STOP] = "stop",
    };
    Reader reader = {message, message + len, len > DINV_USERNET_MESSAGE_MAX};
    DinvUsernetRequest read = {.id = (uint32_t)next_number(&reader, 1, DINV_USERNET_ID_MAX)};
    *id = read.id;
    size_t verb_len = 0;
    const char *field = reader.failed ? NULL : next_field(&reader, &verb_len);
    size_t verb = 0;
    while (verb < sizeof(verbs) / sizeof(verbs[0]) &&
           (field == NULL || !field_is(field, verb_len, verbs[verb]))) {
        verb++;
    }
    read.verb = (DinvUsernetVerb)verb;
    switch (read.verb) {
    case DINV_USERNET_ADD:
        next_endpoint(&reader, &read.endpoint);
        read.guest_port = (uint16_t)next_number(&reader, 1, UINT16_MAX);
        break;
    case DINV_USERNET_REMOVE:
        next_endpoint(&reader, &read.endpoint);
        break;
    case DINV_USERNET_LIST:
    case DINV_USERNET_STOP:
        break;
    default:
        return -EBADMSG;
    }
    if (!is_done(&reader)) {
        return -EBADMSG;
    }
    *request = read;
    return 0;
}

static bool is_id(uint32_t id) {
    return id >= 1 && id <= DINV_USERNET_ID_MAX;
}

/* As snprintf() returned it. */
static int checked_length(int written) {
    return written > 0 && (unsigned)written <= DINV_USERNET_MESSAGE_MAX ? written : -EINVAL;
}

static const char *protocol_name(const DinvUsernetEndpoint *endpoint) {
    return endpoint->udp ? "udp" : "tcp";
}

int dinv_usernet_request_encode(const DinvUsernetRequest *request,
                                char out[static DINV_USERNET_MESSAGE_MAX + 1]) {
    const size_t size = DINV_USERNET_MESSAGE_MAX + 1;
    if (!is_id(request->id)) {
        return -EINVAL;
    }
    char address[DINV_USERNET_ADDRESS_SIZE];
    dinv_usernet_address_format(&request->endpoint, address);
    const char *protocol = protocol_name(&request->endpoint);
    switch (request->verb) {
    case DINV_USERNET_ADD:
        if (request->endpoint.port == 0 || request->guest_port == 0) {
            return -EINVAL;
        }
        return checked_length(snprintf(out, size, "%" PRIu32 " add %s %s %u %u", request->id,
                                       protocol, address, request->endpoint.port,
                                       request->guest_port));
    case DINV_USERNET_REMOVE:
        if (request->endpoint.port == 0) {
            return -EINVAL;
        }
        return checked_length(snprintf(out, size, "%" PRIu32 " remove %s %s %u", request->id,
                                       protocol, address, request->endpoint.port));
    case DINV_USERNET_LIST:
        return checked_length(snprintf(out, size, "%" PRIu32 " list", request->id));
    case DINV_USERNET_STOP:
        return checked_length(snprintf(out, size, "%" PRIu32 " stop", request->id));
    }
    return -EINVAL;
}

/* Printable, not empty, and without a space unless `spaces`. */
static bool is_text(const char *text, size_t len, size_t max, bool spaces) {
    if (len == 0 || len > max || text[0] == ' ') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_printable(text[i]) || (text[i] == ' ' && !spaces)) {
            return false;
        }
    }
    return true;
}

int dinv_usernet_reply_encode(const DinvUsernetReply *reply,
                              char out[static DINV_USERNET_MESSAGE_MAX + 1]) {
    const size_t size = DINV_USERNET_MESSAGE_MAX + 1;
    char address[DINV_USERNET_ADDRESS_SIZE];
    if (reply->type != DINV_USERNET_READY && !is_id(reply->id)) {
        return -EINVAL;
    }
    switch (reply->type) {
    case DINV_USERNET_READY:
        if (!is_text(reply->features, strnlen(reply->features, sizeof(reply->features)),
                     DINV_USERNET_FEATURES_MAX, false)) {
            return -EINVAL;
        }
        return checked_length(
            snprintf(out, size, "ready %" PRIu32 " %s", reply->version, reply->features));
    case DINV_USERNET_OK:
        return checked_length(snprintf(out, size, "%" PRIu32 " ok", reply->id));
    case DINV_USERNET_ERROR:
        if (reply->error <= 0 || (unsigned)reply->error > ERRNO_MAX ||
            !is_text(reply->text, strnlen(reply->text, sizeof(reply->text)), DINV_USERNET_TEXT_MAX,
                     true)) {
            return -EINVAL;
        }
        return checked_length(
            snprintf(out, size, "%" PRIu32 " error %d %s", reply->id, reply->error, reply->text));
    case DINV_USERNET_FORWARD:
        if (reply->endpoint.port == 0 || reply->guest_port == 0) {
            return -EINVAL;
        }
        dinv_usernet_address_format(&reply->endpoint, address);
        return checked_length(snprintf(out, size,
                                       "%" PRIu32 " forward %s %s %u %u %" PRIu64 " %" PRIu64
                                       " %" PRIu64 " %" PRIu64,
                                       reply->id, protocol_name(&reply->endpoint), address,
                                       reply->endpoint.port, reply->guest_port, reply->connections,
                                       reply->open, reply->to_guest, reply->from_guest));
    }
    return -EINVAL;
}

static void read_ready(Reader *reader, DinvUsernetReply *reply) {
    reply->type = DINV_USERNET_READY;
    reply->version = (uint32_t)next_number(reader, 1, UINT32_MAX);
    size_t len;
    const char *field = next_field(reader, &len);
    if (reader->failed || !is_text(field, len, DINV_USERNET_FEATURES_MAX, false)) {
        reader->failed = true;
        return;
    }
    memcpy(reply->features, field, len);
}

/* All that is left is the text. */
static void read_error(Reader *reader, DinvUsernetReply *reply) {
    reply->type = DINV_USERNET_ERROR;
    reply->error = (int)next_number(reader, 1, ERRNO_MAX);
    size_t len = reader->at != NULL ? (size_t)(reader->end - reader->at) : 0;
    if (reader->failed || !is_text(reader->at, len, DINV_USERNET_TEXT_MAX, true)) {
        reader->failed = true;
        return;
    }
    memcpy(reply->text, reader->at, len);
    reader->at = NULL;
}

static void read_forward(Reader *reader, DinvUsernetReply *reply) {
    reply->type = DINV_USERNET_FORWARD;
    next_endpoint(reader, &reply->endpoint);
    reply->guest_port = (uint16_t)next_number(reader, 1, UINT16_MAX);
    reply->connections = next_number(reader, 0, UINT64_MAX);
    reply->open = next_number(reader, 0, UINT64_MAX);
    reply->to_guest = next_number(reader, 0, UINT64_MAX);
    reply->from_guest = next_number(reader, 0, UINT64_MAX);
}

int dinv_usernet_reply_decode(const char *message, size_t len, DinvUsernetReply *reply) {
    static const char ready[] = "ready ";
    Reader reader = {message, message + len, len > DINV_USERNET_MESSAGE_MAX};
    DinvUsernetReply read = {0};
    if (!reader.failed && len >= sizeof(ready) - 1 &&
        memcmp(message, ready, sizeof(ready) - 1) == 0) {
        reader.at += sizeof(ready) - 1;
        read_ready(&reader, &read);
    } else {
        read.id = (uint32_t)next_number(&reader, 1, DINV_USERNET_ID_MAX);
        size_t word_len;
        const char *word = reader.failed ? NULL : next_field(&reader, &word_len);
        if (word != NULL && field_is(word, word_len, "ok")) {
            read.type = DINV_USERNET_OK;
        } else if (word != NULL && field_is(word, word_len, "error")) {
            read_error(&reader, &read);
        } else if (word != NULL && field_is(word, word_len, "forward")) {
            read_forward(&reader, &read);
        } else {
            return -EBADMSG;
        }
    }
    if (!is_done(&reader)) {
        return -EBADMSG;
    }
    *reply = read;
    return 0;
}

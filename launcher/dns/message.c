/* SPDX-License-Identifier: MIT */
/* Every offset is checked against the message's length: the bytes may come from anybody. */
#include "launcher/dns/message.h"

#include <string.h>

/* The header: id, flags, and the numbers of questions, answers, authorities and additionals, 16
 * bits each. Flags of the first byte, then of the second. */
#define RESPONSE            0x80
#define OPCODE              0x78
#define RECURSION_DESIRED   0x01
#define RECURSION_AVAILABLE 0x80
#define CODE                0x0f
#define QUESTIONS_AT        4

#define LABEL_MAX 63
/* A compressed name: see the question at offset 12. */
#define NAME_OF_QUESTION 0xc00c
/* Seconds that an answer may be kept: the file may change. */
#define TIME_TO_LIVE 10

enum { TYPE_IXFR = 251, TYPE_AXFR = 252 };

static guint16 get16(const guint8 *at) {
    return (guint16)(at[0] << 8 | at[1]);
}

static void put16(GByteArray *to, guint value) {
    const guint8 bytes[] = {(guint8)(value >> 8), (guint8)value};
    g_byte_array_append(to, bytes, sizeof bytes);
}

static gboolean is_host_byte(guint8 byte) {
    return g_ascii_isalnum(byte) || byte == '-' || byte == '_';
}

/* The name at the header's end as text ("" if no host can have it); returns the offset behind it, 0
 * if it does not end within the message, is too long, or is compressed (there is nothing before it
 * to refer to). */
static gsize parse_name(const guint8 *query, gsize len, char name[static DINV_DNS_NAME_MAX + 1]) {
    gsize at = DINV_DNS_HEADER;
    gsize out = 0;
    gboolean is_host = TRUE;
    while (at < len && query[at] != 0) {
        gsize label = query[at++];
        if (label > LABEL_MAX || label > len - at ||
            at + label - DINV_DNS_HEADER >= DINV_DNS_NAME_MAX) {
            return 0;
        }
        if (out > 0) {
            name[out++] = '.';
        }
        for (gsize end = at + label; at < end; at++) {
            is_host = is_host && is_host_byte(query[at]);
            name[out++] = g_ascii_tolower((char)query[at]);
        }
    }
    name[is_host ? out : 0] = '\0';
    return at < len ? at + 1 : 0;
}

int dinv_dns_check_query(const guint8 *message, gsize len, DinvDnsQuestion *question) {
    DinvDnsQuestion found = {0};
    if (len < DINV_DNS_HEADER || len > DINV_DNS_MESSAGE_MAX || (message[2] & RESPONSE) != 0) {
        return -1;
    }
    if ((message[2] & OPCODE) != 0) {
        return DINV_DNS_NOTIMP;
    }
    gsize at = get16(message + QUESTIONS_AT) == 1 ? parse_name(message, len, found.name) : 0;
    if (at == 0 || len - at < 4) {
        return DINV_DNS_FORMERR;
    }
    found.type = get16(message + at);
    found.class = get16(message + at + 2);
    found.end = at + 4;
    *question = found;
    return found.type == TYPE_AXFR || found.type == TYPE_IXFR ? DINV_DNS_REFUSED
                                                              : DINV_DNS_NO_ERROR;
}

guint dinv_dns_get_code(const guint8 *reply) {
    return reply[3] & CODE;
}

gboolean dinv_dns_has_question(const guint8 *reply) {
    return get16(reply + QUESTIONS_AT) > 0;
}

gboolean dinv_dns_is_reply_to(const guint8 *reply, gsize len, const guint8 *query, gsize end) {
    if (len < DINV_DNS_HEADER || (reply[2] & RESPONSE) == 0 || memcmp(reply, query, 2) != 0) {
        return FALSE;
    }
    if (!dinv_dns_has_question(reply)) {
        return dinv_dns_get_code(reply) != DINV_DNS_NO_ERROR;
    }
    if (len < end || get16(reply + QUESTIONS_AT) != 1) {
        return FALSE;
    }
    for (gsize at = DINV_DNS_HEADER; at < end; at++) {
        if (g_ascii_tolower((char)reply[at]) != g_ascii_tolower((char)query[at])) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Begins an answer: header and question. */
static GByteArray *start_answer(const guint8 *query, gsize end, guint code, guint answers) {
    const guint8 flags[] = {
        (guint8)(RESPONSE | (query[2] & (OPCODE | RECURSION_DESIRED))),
        (guint8)(RECURSION_AVAILABLE | code),
    };
    GByteArray *answer = g_byte_array_new();
    g_byte_array_append(answer, query, 2);
    g_byte_array_append(answer, flags, sizeof flags);
    put16(answer, end > DINV_DNS_HEADER ? 1 : 0);
    put16(answer, answers);
    put16(answer, 0);
    put16(answer, 0);
    g_byte_array_append(answer, query + DINV_DNS_HEADER, (guint)(end - DINV_DNS_HEADER));
    return answer;
}

static void put_address(GByteArray *answer, guint type, GInetAddress *address) {
    guint size = (guint)g_inet_address_get_native_size(address);
    put16(answer, NAME_OF_QUESTION);
    put16(answer, type);
    put16(answer, DINV_DNS_CLASS_IN);
    put16(answer, 0); /* the upper half of the time to live */
    put16(answer, TIME_TO_LIVE);
    put16(answer, size);
    g_byte_array_append(answer, g_inet_address_to_bytes(address), size);
}

static gboolean is_asked_for(const DinvDnsQuestion *question, GInetAddress *address) {
    return question->type == (g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV4
                                  ? DINV_DNS_TYPE_A
                                  : DINV_DNS_TYPE_AAAA);
}

GBytes *dinv_dns_make_answer(const guint8 *query, const DinvDnsQuestion *question,
                             const GPtrArray *addresses) {
    guint count = 0;
    for (guint i = 0; i < addresses->len; i++) {
        count += is_asked_for(question, g_ptr_array_index(addresses, i)) ? 1 : 0;
    }
    GByteArray *answer = start_answer(query, question->end, DINV_DNS_NO_ERROR, count);
    for (guint i = 0; i < addresses->len; i++) {
        if (is_asked_for(question, g_ptr_array_index(addresses, i))) {
            put_address(answer, question->type, g_ptr_array_index(addresses, i));
        }
    }
    return g_byte_array_free_to_bytes(answer);
}

GBytes *dinv_dns_make_failure(const guint8 *query, gsize end, guint code) {
    return g_byte_array_free_to_bytes(start_answer(query, end, code, 0));
}

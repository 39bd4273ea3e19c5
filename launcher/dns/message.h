/* SPDX-License-Identifier: MIT */
/*
 * Messages of the domain name system (RFC 1035, section 4.1), as far as a forwarder must understand
 * them: it reads the question, answers for a few names by itself, and passes all else on as it
 * came. Pure functions on untrusted bytes.
 */
#pragma once

#include <gio/gio.h>

#define DINV_DNS_HEADER      12u
#define DINV_DNS_MESSAGE_MAX 65535u
#define DINV_DNS_NAME_MAX    255u
/* Header and question, the latter with type and class. */
#define DINV_DNS_HEAD_MAX (DINV_DNS_HEADER + DINV_DNS_NAME_MAX + 4u)

enum { DINV_DNS_TYPE_A = 1, DINV_DNS_TYPE_AAAA = 28 };
enum { DINV_DNS_CLASS_IN = 1 };

/* Response codes. */
enum {
    DINV_DNS_NO_ERROR = 0,
    DINV_DNS_FORMERR = 1,
    DINV_DNS_SERVFAIL = 2,
    DINV_DNS_NOTIMP = 4,
    DINV_DNS_REFUSED = 5
};

typedef struct {
    /* Lower case, dots between labels, none at the end; "" of the root, and of a name that no host
     * can have (labels of bytes other than letters, digits, '-' and '_'). */
    char name[DINV_DNS_NAME_MAX + 1];
    guint16 type;
    guint16 class;
    gsize end; /* offset behind the question, at most DINV_DNS_HEAD_MAX */
} DinvDnsQuestion;

/* Judges what a client sent. DINV_DNS_NO_ERROR: a standard query with one question, which is in
 * `question`; another response code: what the client is to be told; -1: nothing that may be
 * answered. Refused are zone transfers, whose answer is more than one message. */
int dinv_dns_check_query(const guint8 *message, gsize len, DinvDnsQuestion *question);

/* TRUE if `reply` can be the answer to `query`, whose question ends at `end`: same id, same
 * question but for the case of letters, or no question and an error. */
gboolean dinv_dns_is_reply_to(const guint8 *reply, gsize len, const guint8 *query, gsize end);

/* The response code of a message that has a header. */
guint dinv_dns_get_code(const guint8 *reply);
/* Whether a message that has a header repeats the question: clients' resolvers take no notice of a
 * failure that does not. */
gboolean dinv_dns_has_question(const guint8 *reply);

/* The answer to `query`, with those of `addresses` (of GInetAddress) that the question asks for:
 * maybe none. Transfer full. */
GBytes *dinv_dns_make_answer(const guint8 *query, const DinvDnsQuestion *question,
                             const GPtrArray *addresses);

/* The answer that says `code` to a query of which at least the header is there, with its question
 * if that ends at `end` (DINV_DNS_HEADER: without). Transfer full. */
GBytes *dinv_dns_make_failure(const guint8 *query, gsize end, guint code);

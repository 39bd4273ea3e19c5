/* SPDX-License-Identifier: MIT */
/* A query and what is answered to it: the first two bytes say how long the query is, the rest is a
 * reply. What we answer ourselves must be a reply to the query, and no query. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/dns/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const uint8_t *query, gsize end, GBytes *answer) {
    DinvDnsQuestion question;
    gsize len;
    const guint8 *bytes = g_bytes_get_data(answer, &len);
    if (!dinv_dns_is_reply_to(bytes, len, query, end) ||
        dinv_dns_check_query(bytes, len, &question) != -1) {
        abort();
    }
}

static void answer_query(const uint8_t *query, gsize len) {
    DinvDnsQuestion question = {.end = DINV_DNS_HEADER};
    int code = dinv_dns_check_query(query, len, &question);
    if (code < 0) {
        return;
    }
    if (question.end > len || question.end > DINV_DNS_HEAD_MAX ||
        strlen(question.name) >= DINV_DNS_NAME_MAX - 1) {
        abort();
    }
    g_autoptr(GBytes) failure = dinv_dns_make_failure(
        query, question.end, code != 0 ? (guint)code : (guint)DINV_DNS_SERVFAIL);
    check_answer(query, question.end, failure);
    if (code == DINV_DNS_NO_ERROR) {
        g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_object_unref);
        g_ptr_array_add(addresses, g_inet_address_new_from_string("192.0.2.1"));
        g_ptr_array_add(addresses, g_inet_address_new_from_string("2001:db8::1"));
        g_autoptr(GBytes) answer = dinv_dns_make_answer(query, &question, addresses);
        check_answer(query, question.end, answer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    DinvDnsQuestion question;
    if (size < 2) {
        return 0;
    }
    size_t query_len = MIN((size_t)data[0] << 8 | data[1], size - 2);
    const uint8_t *query = data + 2;
    answer_query(query, query_len);
    if (dinv_dns_check_query(query, query_len, &question) == DINV_DNS_NO_ERROR) {
        (void)dinv_dns_is_reply_to(query + query_len, size - 2 - query_len, query, question.end);
    }
    return 0;
}

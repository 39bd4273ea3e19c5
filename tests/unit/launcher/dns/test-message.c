/* SPDX-License-Identifier: MIT */
/* Messages: queries that are judged, replies that are matched, and answers that are made. */
#include "launcher/dns/message.h"

#include <string.h>

#define HEADER(questions) "\x12\x34\x01\x00\x00" questions "\x00\x00\x00\x00\x00\x00"
#define WEB               "\x03Web\x05outer\x04test\x00"
#define A_IN              "\x00\x01\x00\x01"
#define AAAA_IN           "\x00\x1c\x00\x01"

/* The bytes of a literal, without its last NUL. */
#define BYTES(literal) (const guint8 *)(literal), sizeof(literal) - 1

static const guint8 query[] = HEADER("\x01") WEB A_IN;
#define QUERY_LEN (sizeof query - 1)

static void assert_bytes(GBytes *bytes, const guint8 *expected, gsize expected_len) {
    gsize len;
    const guint8 *data = g_bytes_get_data(bytes, &len);
    g_assert_cmpuint(len, ==, expected_len);
    g_assert_cmpint(memcmp(data, expected, len), ==, 0);
}

static void test_question(void) {
    DinvDnsQuestion question;
    g_assert_cmpint(dinv_dns_check_query(query, QUERY_LEN, &question), ==, DINV_DNS_NO_ERROR);
    g_assert_cmpstr(question.name, ==, "web.outer.test");
    g_assert_cmpuint(question.type, ==, DINV_DNS_TYPE_A);
    g_assert_cmpuint(question.class, ==, DINV_DNS_CLASS_IN);
    g_assert_cmpuint(question.end, ==, QUERY_LEN);
    /* What follows, such as EDNS, is not looked at. */
    g_assert_cmpint(
        dinv_dns_check_query(BYTES(HEADER("\x01") WEB AAAA_IN "\x00\x00\x29"), &question), ==,
        DINV_DNS_NO_ERROR);
    g_assert_cmpuint(question.type, ==, DINV_DNS_TYPE_AAAA);
    g_assert_cmpuint(question.end, ==, QUERY_LEN);
}

/* Passed on, but no name that a hosts file could hold: a label with a dot in it is not
 * two labels. */
static void test_names_of_no_host(void) {
    DinvDnsQuestion question;
    g_assert_cmpint(dinv_dns_check_query(BYTES(HEADER("\x01") "\x00" A_IN), &question), ==, 0);
    g_assert_cmpstr(question.name, ==, "");
    g_assert_cmpint(dinv_dns_check_query(BYTES(HEADER("\x01") "\x09"
                                                              "web.outer\x04test\x00" A_IN),
                                         &question),
                    ==, 0);
    g_assert_cmpstr(question.name, ==, "");
    g_assert_cmpint(
        dinv_dns_check_query(BYTES(HEADER("\x01") "\x03w\xff-\x04test\x00" A_IN), &question), ==,
        0);
    g_assert_cmpstr(question.name, ==, "");
}

/* A name of labels of 63 bytes, and a last one of `last` bytes: 3 * 64 + 1 + last + 1 in all. */
static int check_long_name(gsize last) {
    guint8 message[DINV_DNS_HEAD_MAX + 64] = HEADER("\x01");
    DinvDnsQuestion question;
    gsize at = DINV_DNS_HEADER;
    for (guint i = 0; i < 4; i++) {
        gsize label = i < 3 ? 63 : last;
        message[at++] = (guint8)label;
        memset(message + at, 'a', label);
        at += label;
    }
    message[at++] = 0;
    memcpy(message + at, A_IN, 4);
    int code = dinv_dns_check_query(message, at + 4, &question);
    if (code == 0) {
        g_assert_cmpuint(question.end, ==, at + 4);
        g_assert_cmpuint(question.end, <=, DINV_DNS_HEAD_MAX);
        g_assert_cmpuint(strlen(question.name), ==, (gsize)3 * 64 + last);
    }
    return code;
}

static void test_longest_name(void) {
    g_assert_cmpint(check_long_name(61), ==, 0);
    g_assert_cmpint(check_long_name(62), ==, DINV_DNS_FORMERR);
}

static void test_no_good_queries(void) {
    static const struct {
        const guint8 *message;
        gsize len;
        int code;
    } cases[] = {
        {BYTES("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00"), -1},              /* too short */
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN), -1}, /* a reply */
        {BYTES("\x12\x34\x29\x00\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN), DINV_DNS_NOTIMP},
        {BYTES(HEADER("\x00")), DINV_DNS_FORMERR},
        {BYTES(HEADER("\x02") WEB A_IN WEB A_IN), DINV_DNS_FORMERR},
        {BYTES(HEADER("\x01")), DINV_DNS_FORMERR},
        {BYTES(HEADER("\x01") "\x03we"), DINV_DNS_FORMERR},
        {BYTES(HEADER("\x01") WEB "\x00\x01\x00"), DINV_DNS_FORMERR},
        {BYTES(HEADER("\x01") "\xc0\x0c" A_IN), DINV_DNS_FORMERR}, /* refers to itself */
        {BYTES(HEADER("\x01") WEB "\x00\xfc\x00\x01"), DINV_DNS_REFUSED},
        {BYTES(HEADER("\x01") WEB "\x00\xfb\x00\x01"), DINV_DNS_REFUSED},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvDnsQuestion question;
        g_test_message("case %u", i);
        g_assert_cmpint(dinv_dns_check_query(cases[i].message, cases[i].len, &question), ==,
                        cases[i].code);
    }
    g_autofree guint8 *large = g_malloc0(DINV_DNS_MESSAGE_MAX + 1);
    DinvDnsQuestion question;
    g_assert_cmpint(dinv_dns_check_query(large, DINV_DNS_MESSAGE_MAX + 1, &question), ==, -1);
}

static void test_replies(void) {
    static const struct {
        const guint8 *reply;
        gsize len;
        gboolean good;
    } cases[] = {
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN), TRUE},
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00"
               "\x03wEB\x05outer\x04test\x00" A_IN),
         TRUE},
        {BYTES("\x12\x34\x81\x82\x00\x00\x00\x00\x00\x00\x00\x00"), TRUE}, /* only the failure */
        {BYTES("\x12\x34\x81\x80\x00\x00\x00\x00\x00\x00\x00\x00"), FALSE},
        {BYTES("\x12\x35\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN), FALSE},
        {BYTES("\x12\x34\x01\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN), FALSE},
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB AAAA_IN), FALSE},
        {BYTES("\x12\x34\x81\x80\x00\x02\x00\x00\x00\x00\x00\x00" WEB A_IN), FALSE},
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB), FALSE},
        {BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00"), FALSE},
        {BYTES(""), FALSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        g_assert_cmpint(dinv_dns_is_reply_to(cases[i].reply, cases[i].len, query, QUERY_LEN), ==,
                        cases[i].good);
    }
}

static void test_answers(void) {
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_object_unref);
    static const char *const texts[] = {"198.51.100.7", "2001:db8::7", "198.51.100.8"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_ptr_array_add(addresses, g_inet_address_new_from_string(texts[i]));
    }
    DinvDnsQuestion question;
    g_assert_cmpint(dinv_dns_check_query(query, QUERY_LEN, &question), ==, 0);
    g_autoptr(GBytes) two = dinv_dns_make_answer(query, &question, addresses);
    assert_bytes(two, BYTES("\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00" WEB A_IN
                            "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x0a\x00\x04\xc6\x33\x64\x07"
                            "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x0a\x00\x04\xc6\x33\x64\x08"));
    question.type = DINV_DNS_TYPE_AAAA;
    g_autoptr(GBytes) six = dinv_dns_make_answer(query, &question, addresses);
    g_assert_cmpuint(g_bytes_get_size(six), ==, QUERY_LEN + 12 + 16);
    question.type = 15; /* MX: the name is there, and has none */
    g_autoptr(GBytes) none = dinv_dns_make_answer(query, &question, addresses);
    assert_bytes(none, BYTES("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN));
}

static void test_failures(void) {
    g_autoptr(GBytes) with = dinv_dns_make_failure(query, QUERY_LEN, DINV_DNS_SERVFAIL);
    assert_bytes(with, BYTES("\x12\x34\x81\x82\x00\x01\x00\x00\x00\x00\x00\x00" WEB A_IN));
    g_assert_true(dinv_dns_has_question(g_bytes_get_data(with, NULL)));
    g_assert_cmpuint(dinv_dns_get_code(g_bytes_get_data(with, NULL)), ==, DINV_DNS_SERVFAIL);
    g_autoptr(GBytes) without = dinv_dns_make_failure(query, DINV_DNS_HEADER, DINV_DNS_FORMERR);
    assert_bytes(without, BYTES("\x12\x34\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00"));
    g_assert_false(dinv_dns_has_question(g_bytes_get_data(without, NULL)));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launcher/dns-message/question", test_question);
    g_test_add_func("/launcher/dns-message/names-of-no-host", test_names_of_no_host);
    g_test_add_func("/launcher/dns-message/longest-name", test_longest_name);
    g_test_add_func("/launcher/dns-message/no-good-queries", test_no_good_queries);
    g_test_add_func("/launcher/dns-message/replies", test_replies);
    g_test_add_func("/launcher/dns-message/answers", test_answers);
    g_test_add_func("/launcher/dns-message/failures", test_failures);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The control messages of dinv-usernet: as text, and everything that is none. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "usernet/protocol.h"

static const char *const requests[] = {
    "1 add tcp 0.0.0.0 8080 80",
    "2147483647 add udp ::1 65535 53",
    "7 remove tcp :: 1",
    "8 remove udp 192.0.2.7 53",
    "9 list",
    "10 stop",
};

static const char *const replies[] = {
    "ready 1 none",
    "ready 1 no_new_privs,capabilities,seccomp,landlock,core",
    "3 ok",
    "4 error 98 listen tcp 0.0.0.0:8080: bind: address already in use",
    "5 forward tcp 0.0.0.0 8080 80 0 0 0 0",
    "5 forward udp 2001:db8::1 53 5353 12 3 18446744073709551615 1",
};

/* Read and written again, it is the same text. */
static void test_request_round_trip(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(requests); i++) {
        DinvUsernetRequest request;
        uint32_t id;
        char again[DINV_USERNET_MESSAGE_MAX + 1];
        g_assert_cmpint(
            dinv_usernet_request_decode(requests[i], strlen(requests[i]), &request, &id), ==, 0);
        g_assert_cmpuint(id, ==, request.id);
        g_assert_cmpint(dinv_usernet_request_encode(&request, again), ==, (int)strlen(requests[i]));
        g_assert_cmpstr(again, ==, requests[i]);
    }
}

static void test_reply_round_trip(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(replies); i++) {
        DinvUsernetReply reply;
        char again[DINV_USERNET_MESSAGE_MAX + 1];
        g_assert_cmpint(dinv_usernet_reply_decode(replies[i], strlen(replies[i]), &reply), ==, 0);
        g_assert_cmpint(dinv_usernet_reply_encode(&reply, again), ==, (int)strlen(replies[i]));
        g_assert_cmpstr(again, ==, replies[i]);
    }
}

static void test_fields(void) {
    DinvUsernetRequest request;
    uint32_t id;
    const char *text = "5 add udp 192.0.2.7 53 5353";
    g_assert_cmpint(dinv_usernet_request_decode(text, strlen(text), &request, &id), ==, 0);
    g_assert_cmpuint(request.id, ==, 5);
    g_assert_cmpint(request.verb, ==, DINV_USERNET_ADD);
    g_assert_true(request.endpoint.udp);
    g_assert_false(request.endpoint.ipv6);
    g_assert_cmpuint(request.endpoint.address[0], ==, 192);
    g_assert_cmpuint(request.endpoint.address[3], ==, 7);
    g_assert_cmpuint(request.endpoint.port, ==, 53);
    g_assert_cmpuint(request.guest_port, ==, 5353);
    DinvUsernetReply reply;
    text = "6 forward tcp ::1 80 8080 4 3 2 1";
    g_assert_cmpint(dinv_usernet_reply_decode(text, strlen(text), &reply), ==, 0);
    g_assert_true(reply.endpoint.ipv6);
    g_assert_cmpuint(reply.endpoint.address[15], ==, 1);
    g_assert_cmpuint(reply.connections, ==, 4);
    g_assert_cmpuint(reply.open, ==, 3);
    g_assert_cmpuint(reply.to_guest, ==, 2);
    g_assert_cmpuint(reply.from_guest, ==, 1);
}

static void test_bad_requests(void) {
    static const struct {
        const char *text;
        uint32_t id; /* what can be answered */
    } bad[] = {
        {"", 0},
        {" ", 0},
        {"0 list", 0},
        {"01 list", 0},
        {"+1 list", 0},
        {"2147483648 list", 0},
        {"99999999999999999999999 list", 0},
        {"x list", 0},
        {"1", 1},
        {"1 ", 1},
        {"1 lists", 1},
        {"1 list ", 1},
        {"1  list", 1},
        {"1 list more", 1},
        {"1 list\n", 1},
        {"1 add", 1},
        {"1 add tcp", 1},
        {"1 add sctp 0.0.0.0 1 1", 1},
        {"1 add tcp localhost 1 1", 1},
        {"1 add tcp 0.0.0.0 0 1", 1},
        {"1 add tcp 0.0.0.0 65536 1", 1},
        {"1 add tcp 0.0.0.0 1", 1},
        {"1 add tcp 0.0.0.0 1 0", 1},
        {"1 add tcp 0.0.0.0 1 080", 1},
        {"1 add tcp 0.0.0.0 1 80 ", 1},
        {"1 add tcp 0.0.0.256 1 80", 1},
        {"1 add tcp ::1%lo 1 80", 1},
        {"1 remove tcp 0.0.0.0 1 80", 1},
        {"1 add tcp 11111111111111111111111111111111111111111111111111111111 1 80", 1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        DinvUsernetRequest request = {.id = 77};
        uint32_t id = 77;
        g_test_message("\"%s\"", bad[i].text);
        g_assert_cmpint(
            dinv_usernet_request_decode(bad[i].text, strlen(bad[i].text), &request, &id), ==,
            -EBADMSG);
        g_assert_cmpuint(id, ==, bad[i].id);
        g_assert_cmpuint(request.id, ==, 77);
    }
    DinvUsernetRequest request;
    uint32_t id;
    static const char with_nul[] = "1 add tcp 0.0.0.0\0x 1 80";
    g_assert_cmpint(dinv_usernet_request_decode(with_nul, sizeof(with_nul) - 1, &request, &id), ==,
                    -EBADMSG);
}

static void test_bad_replies(void) {
    static const char *const bad[] = {
        "",
        "ready",
        "ready 1",
        "ready 0 none",
        "ready 1 ",
        "ready1",
        "1",
        "1 okay",
        "1 ok ",
        "0 ok",
        "1 error",
        "1 error 5",
        "1 error 5 ",
        "1 error 0 text",
        "1 error 4096 text",
        "1 error 5 \x01",
        "1 error 5  two",
        "ready 1 a b",
        "1 forward tcp 0.0.0.0 1 1 0 0 0",
        "1 forward tcp 0.0.0.0 1 1 0 0 0 18446744073709551616",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        DinvUsernetReply reply = {.id = 77};
        g_test_message("\"%s\"", bad[i]);
        g_assert_cmpint(dinv_usernet_reply_decode(bad[i], strlen(bad[i]), &reply), ==, -EBADMSG);
        g_assert_cmpuint(reply.id, ==, 77);
    }
}

/* Exactly as long as allowed is well; a byte more is not, even if it is all of one text. */
static void test_too_long(void) {
    char text[DINV_USERNET_MESSAGE_MAX + 2];
    memset(text, 'x', sizeof(text));
    memcpy(text, "1 error 5 ", 10);
    DinvUsernetReply reply;
    g_assert_cmpint(dinv_usernet_reply_decode(text, 10 + DINV_USERNET_TEXT_MAX, &reply), ==, 0);
    g_assert_cmpuint(strlen(reply.text), ==, DINV_USERNET_TEXT_MAX);
    g_assert_cmpint(dinv_usernet_reply_decode(text, 11 + DINV_USERNET_TEXT_MAX, &reply), ==,
                    -EBADMSG);
    g_assert_cmpint(dinv_usernet_reply_decode(text, sizeof(text), &reply), ==, -EBADMSG);
}

static void test_encode_refuses(void) {
    char out[DINV_USERNET_MESSAGE_MAX + 1];
    DinvUsernetRequest request = {.id = 0, .verb = DINV_USERNET_LIST};
    g_assert_cmpint(dinv_usernet_request_encode(&request, out), ==, -EINVAL);
    request = (DinvUsernetRequest){.id = 1, .verb = DINV_USERNET_ADD, .endpoint = {.port = 1}};
    g_assert_cmpint(dinv_usernet_request_encode(&request, out), ==, -EINVAL);
    DinvUsernetReply reply = {.type = DINV_USERNET_ERROR, .id = 1, .error = 5, .text = "a\nb"};
    g_assert_cmpint(dinv_usernet_reply_encode(&reply, out), ==, -EINVAL);
    reply = (DinvUsernetReply){.type = DINV_USERNET_READY, .version = 1, .features = "a b"};
    g_assert_cmpint(dinv_usernet_reply_encode(&reply, out), ==, -EINVAL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/protocol/request-round-trip", test_request_round_trip);
    g_test_add_func("/usernet/protocol/reply-round-trip", test_reply_round_trip);
    g_test_add_func("/usernet/protocol/fields", test_fields);
    g_test_add_func("/usernet/protocol/bad-requests", test_bad_requests);
    g_test_add_func("/usernet/protocol/bad-replies", test_bad_replies);
    g_test_add_func("/usernet/protocol/too-long", test_too_long);
    g_test_add_func("/usernet/protocol/encode-refuses", test_encode_refuses);
    return g_test_run();
}

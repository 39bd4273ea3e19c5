/* SPDX-License-Identifier: MIT */
/* The QMP client and a peer that keeps to the protocol: handshake, replies, sizes, deadlines. */
#include "qmp/reader.h"
#include "tests/unit/lib/qmp-fixture.h"

/* ---- handshake and replies ---- */

static void test_handshake_queues(Fixture *fixture) {
    struct json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, "command-line", json_object_new_string("info"));
    dinv_qmp_client_call(fixture->client, "first", arguments, FAR_MS, on_reply, fixture);
    call(fixture, "second");
    say(fixture, GREETING);
    expect(fixture, "{\"execute\":\"qmp_capabilities\",\"id\":3}");
    /* Nothing else has come, and nothing comes until the reply. */
    g_assert_cmpint(recv(fixture->peer, &(char){0}, 1, MSG_DONTWAIT), ==, -1);
    say(fixture, "{\"return\": {}, \"id\": 3}");
    expect(fixture, "{\"execute\":\"first\",\"id\":1,\"arguments\":{\"command-line\":\"info\"}}");
    expect(fixture, "{\"execute\":\"second\",\"id\":2}");
    say(fixture,
        "{\"return\": {\"a\": [1, 2]}, \"id\": 1}\r\n{\"id\": 2, \"return\": \"text\"}\r\n");
    wait_until(fixture->replies == 2);
    g_assert_cmpstr(fixture->result, ==, "\"text\"");
}

static void test_handshake_refused(Fixture *fixture) {
    call(fixture, "first");
    say(fixture, GREETING);
    expect(fixture, "{\"execute\":\"qmp_capabilities\",\"id\":2}");
    say(fixture, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 2}\r\n");
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND);
    g_assert_cmpstr(fixture->end->message, ==, "QEMU refused qmp_capabilities: no");
}

static void test_handshake_deadline(void) {
    Fixture fixture = {0};
    set_up_with(&fixture, 20);
    call(&fixture, "first");
    wait_until(fixture.disconnects == 1);
    g_assert_error(fixture.end, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT);
    g_assert_error(fixture.error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT);
    g_assert_cmpstr(fixture.order->str, ==, "rd");
    tear_down(&fixture, NULL);
}

static void test_no_greeting(Fixture *fixture) {
    say(fixture, "{\"event\": \"STOP\"}\r\n");
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL);
    g_assert_cmpstr(fixture->events->str, ==, "");
}

static void test_second_greeting(Fixture *fixture) {
    shake_hands(fixture);
    say(fixture, GREETING);
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL);
}

static void test_split_reads(Fixture *fixture) {
    static const char script[] =
        GREETING "{\"return\": {}, \"id\": 2}\r\n"
                 "{\"event\": \"A\", \"data\": {\"x\": \"}{\\\"\"}}\r\n"
                 "{\"return\": {\"deep\": [[{\"\\u00e9\": -1.5e3}]]}, \"id\": 1}";

    call(fixture, "first");
    /* Byte by byte: every byte is a read of its own, as the loop runs dry in between. */
    for (const char *c = script; *c != '\0'; c++) {
        g_assert_cmpint(write(fixture->peer, c, 1), ==, 1);
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    wait_until(fixture->replies == 1);
    g_assert_cmpstr(fixture->result, ==, "{\"deep\":[[{\"\u00e9\":-1.5e3}]]}");
    g_assert_cmpstr(fixture->events->str, ==, "A{\"x\":\"}{\\\"\"};");
    g_assert_cmpstr(fixture->order->str, ==, "er");
}

static void test_events_between(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    expect(fixture, "{\"execute\":\"first\",\"id\":2}");
    expect(fixture, "{\"execute\":\"second\",\"id\":3}");
    say(fixture, "{\"event\":\"A\"}{\"return\":{},\"id\":2}\n\n {\"event\":\"B\",\"data\":{}}\r\n"
                 "{\"event\":\"C\",\"data\":7}{\"return\":{},\"id\":3}{\"event\":\"D\"}");
    wait_until(fixture->order->len == 6);
    g_assert_cmpstr(fixture->order->str, ==, "ereere");
    g_assert_cmpstr(fixture->events->str, ==, "A;B{};C;D;");
}

static void test_replies_out_of_order(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    say(fixture, "{\"return\": 33, \"id\": 3}");
    wait_until(fixture->replies == 1);
    g_assert_cmpstr(fixture->result, ==, "33");
    say(fixture, "{\"return\": 22, \"id\": 2}");
    wait_until(fixture->replies == 2);
    g_assert_cmpstr(fixture->result, ==, "22");
}

static void test_unknown_ids(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    expect(fixture, "{\"execute\":\"first\",\"id\":2}");
    say(fixture, "{\"return\": 1, \"id\": 77}{\"return\": 1, \"id\": -2}{\"return\": 1, \"id\": 1}"
                 "{\"error\": {\"class\": \"X\", \"desc\": \"d\"}, \"id\": 0}"
                 "{\"return\": 5, \"id\": 2}{\"return\": 6, \"id\": 2}{\"event\": \"END\"}");
    wait_until(fixture->events->len > 0);
    g_assert_cmpuint(fixture->replies, ==, 1);
    g_assert_cmpstr(fixture->result, ==, "5");
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

static void test_error_reply(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "blockdev-add");
    say(fixture,
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such node\"}, \"id\": 2}");
    wait_until(fixture->replies == 1);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND);
    g_assert_cmpstr(fixture->error->message, ==, "QEMU refused blockdev-add: no such node");
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

/* ---- size ---- */

static void say_filler(Fixture *fixture, gsize len) {
    g_autofree char *filler = g_strnfill(len, 'x');
    say_bytes(fixture, filler, len);
}

#define HEAD "{\"id\": 2, \"return\": \""
#define TAIL "\"}"

static void test_largest_reply(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "large");
    say(fixture, HEAD);
    say_filler(fixture, DINV_QMP_MESSAGE_MAX - strlen(HEAD TAIL));
    say(fixture, TAIL "\r\n{\"event\": \"A\"}");
    wait_until(fixture->events->len > 0);
    g_assert_cmpstr(fixture->order->str, ==, "re");
    g_assert_cmpuint(strlen(fixture->result), ==,
                     DINV_QMP_MESSAGE_MAX - strlen(HEAD TAIL) + strlen("\"\""));
}

static void test_reply_too_large(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "large");
    say(fixture, HEAD);
    say_filler(fixture, DINV_QMP_MESSAGE_MAX - strlen(HEAD TAIL) + 1);
    say(fixture, TAIL);
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_TOO_LARGE);
    g_assert_cmpstr(fixture->end->message, ==, "QMP: a message is larger than 10485760 bytes");
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_TOO_LARGE);
}

/* A command larger than the socket's buffer goes out in pieces, and others wait behind it. */
static void test_large_command(Fixture *fixture) {
    struct json_object *arguments = json_object_new_object();
    g_autofree char *text = g_strnfill(2000000, 'y');
    g_autofree char *heard = NULL;
    shake_hands(fixture);
    json_object_object_add(arguments, "text", json_object_new_string(text));
    dinv_qmp_client_call(fixture->client, "large", arguments, FAR_MS, on_reply, fixture);
    call(fixture, "small");
    heard = hear(fixture);
    g_assert_cmpuint(strlen(heard), >, strlen(text));
    g_assert_nonnull(strstr(heard, text));
    expect(fixture, "{\"execute\":\"small\",\"id\":3}");
}

/* ---- deadlines ---- */

static void test_deadline(Fixture *fixture) {
    shake_hands(fixture);
    dinv_qmp_client_call(fixture->client, "slow", NULL, 20, on_reply, fixture);
    expect(fixture, "{\"execute\":\"slow\",\"id\":2}");
    wait_until(fixture->replies == 1);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT);
    g_assert_cmpstr(fixture->error->message, ==, "QEMU did not answer slow in time");
    /* The late reply is nobody's, and the connection goes on. */
    call(fixture, "next");
    say(fixture, "{\"return\": \"late\", \"id\": 2}{\"return\": \"next\", \"id\": 3}");
    wait_until(fixture->replies == 2);
    g_assert_cmpstr(fixture->result, ==, "\"next\"");
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

/* A command whose deadline passes before it could be sent is never sent. */
static void test_deadline_before_handshake(Fixture *fixture) {
    dinv_qmp_client_call(fixture->client, "expired", NULL, 1, on_reply, fixture);
    call(fixture, "other");
    wait_until(fixture->replies == 1);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT);
    say(fixture, GREETING);
    expect(fixture, "{\"execute\":\"qmp_capabilities\",\"id\":3}");
    say(fixture, "{\"return\": {}, \"id\": 3}");
    expect(fixture, "{\"execute\":\"other\",\"id\":2}");
}

static const Case cases[] = {
    {"/qmp/client/handshake-queues", test_handshake_queues},
    {"/qmp/client/handshake-refused", test_handshake_refused},
    {"/qmp/client/no-greeting", test_no_greeting},
    {"/qmp/client/second-greeting", test_second_greeting},
    {"/qmp/client/split-reads", test_split_reads},
    {"/qmp/client/events-between-replies", test_events_between},
    {"/qmp/client/replies-out-of-order", test_replies_out_of_order},
    {"/qmp/client/unknown-ids", test_unknown_ids},
    {"/qmp/client/error-reply", test_error_reply},
    {"/qmp/client/largest-reply", test_largest_reply},
    {"/qmp/client/reply-too-large", test_reply_too_large},
    {"/qmp/client/large-command", test_large_command},
    {"/qmp/client/deadline", test_deadline},
    {"/qmp/client/deadline-before-handshake", test_deadline_before_handshake},
};

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add_cases(cases, G_N_ELEMENTS(cases));
    g_test_add_func("/qmp/client/handshake-deadline", test_handshake_deadline);
    return g_test_run();
}

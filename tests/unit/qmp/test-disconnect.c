/* SPDX-License-Identifier: MIT */
/* How a QMP client ends: by what the peer says, by its going, and by dinv_qmp_client_free(). */
#include "tests/unit/lib/qmp-fixture.h"

/* ---- the ways a connection ends ---- */

typedef struct {
    const char *name;
    const char *bytes;
} Garbage;

static const Garbage garbage[] = {
    {"text", "hello\r\n"},
    {"binary", "\x01\xff\xfe"},
    {"array", "[1, 2]\r\n"},
    {"number", "12345"},
    {"broken-object", "{\"return\": }"},
    {"single-quotes", "{'return': 1}"},
    {"no-kind", "{\"hello\": 1}"},
    {"return-null", "{\"return\": null, \"id\": 2}"},
    {"return-without-id", "{\"return\": {}}"},
    {"return-with-text-id", "{\"return\": {}, \"id\": \"2\"}"},
    {"error-without-id", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"bad JSON\"}}"},
    {"error-not-object", "{\"error\": 1, \"id\": 2}"},
    {"event-not-string", "{\"event\": {}}"},
    {"trailing", "{\"event\": \"A\"} x"},
};

static void test_garbage(Fixture *fixture, gconstpointer data) {
    const Garbage *sample = data;
    shake_hands(fixture);
    call(fixture, "first");
    expect(fixture, "{\"execute\":\"first\",\"id\":2}");
    call(fixture, "second");
    say(fixture, sample->bytes);
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL);
    g_assert_true(g_str_has_suffix(fixture->order->str, "rrd"));
    g_assert_cmpuint(fixture->replies, ==, 2);
}

static void test_too_deep(Fixture *fixture) {
    g_autoptr(GString) text = g_string_new("{\"return\": ");
    for (guint i = 0; i < 100000; i++) {
        g_string_append_c(text, '[');
    }
    shake_hands(fixture);
    say(fixture, text->str);
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_PROTOCOL);
}

static void test_eof(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    (void)close(fixture->peer);
    fixture->peer = -1;
    wait_until(fixture->disconnects == 1);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED);
    g_assert_cmpstr(fixture->order->str, ==, "rrd");
}

static void test_eof_mid_reply(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    expect(fixture, "{\"execute\":\"first\",\"id\":2}");
    say(fixture, "{\"event\": \"SHUTDOWN\"}{\"return\": {\"status\": \"runn");
    (void)close(fixture->peer);
    fixture->peer = -1;
    wait_until(fixture->disconnects == 1);
    g_assert_cmpstr(fixture->end->message, ==,
                    "QEMU closed its monitor connection in the middle of a message");
    g_assert_cmpstr(fixture->order->str, ==, "erd");
}

/* A write that fails must not hide what the peer said before it went. */
static void test_eof_while_writing(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    say(fixture, "{\"event\": \"SHUTDOWN\"}");
    (void)close(fixture->peer);
    fixture->peer = -1;
    wait_until(fixture->disconnects == 1);
    g_assert_cmpstr(fixture->order->str, ==, "erd");
}

static void test_call_after_end(Fixture *fixture) {
    shake_hands(fixture);
    (void)close(fixture->peer);
    fixture->peer = -1;
    wait_until(fixture->disconnects == 1);
    call(fixture, "late");
    g_assert_cmpuint(fixture->replies, ==, 0); /* never from within the call */
    wait_until(fixture->replies == 1);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED);
    g_assert_cmpuint(fixture->disconnects, ==, 1);
}

/* A callback that issues a new call while the pending ones fail. */
static void test_call_while_failing(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    fixture->call_in_callback = TRUE;
    say(fixture, "garbage");
    wait_until(fixture->replies == 2);
    g_assert_cmpstr(fixture->order->str, ==, "rdr");
}

/* ---- free ---- */

static void test_free_fails_pending(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    g_assert_cmpuint(fixture->replies, ==, 2);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_CLOSED);
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

static void test_free_in_reply(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    fixture->free_in_callback = TRUE;
    say(fixture, "{\"return\": {}, \"id\": 2}{\"return\": {}, \"id\": 3}{\"event\": \"A\"}");
    wait_until(fixture->replies == 2);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_CLOSED);
    g_assert_cmpstr(fixture->order->str, ==, "rr");
}

static void test_free_in_event(Fixture *fixture) {
    shake_hands(fixture);
    fixture->free_in_callback = TRUE;
    say(fixture, "{\"event\": \"A\"}{\"event\": \"B\"} garbage");
    wait_until(fixture->client == NULL);
    g_assert_cmpstr(fixture->events->str, ==, "A;");
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

static void test_free_in_failure(Fixture *fixture) {
    shake_hands(fixture);
    call(fixture, "first");
    call(fixture, "second");
    fixture->free_in_callback = TRUE;
    say(fixture, "garbage");
    wait_until(fixture->client == NULL);
    g_assert_cmpuint(fixture->replies, ==, 2);
    g_assert_cmpuint(fixture->disconnects, ==, 0);
}

static void test_free_in_disconnected(Fixture *fixture) {
    shake_hands(fixture);
    fixture->free_in_callback = TRUE;
    say(fixture, "garbage");
    wait_until(fixture->client == NULL);
    g_assert_cmpstr(fixture->order->str, ==, "d");
}

static void test_free_in_deadline(Fixture *fixture) {
    shake_hands(fixture);
    fixture->free_in_callback = TRUE;
    dinv_qmp_client_call(fixture->client, "slow", NULL, 5, on_reply, fixture);
    wait_until(fixture->client == NULL);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT);
}

static const Case cases[] = {
    {"/qmp/disconnect/too-deep", test_too_deep},
    {"/qmp/disconnect/eof", test_eof},
    {"/qmp/disconnect/eof-mid-reply", test_eof_mid_reply},
    {"/qmp/disconnect/eof-while-writing", test_eof_while_writing},
    {"/qmp/disconnect/call-after-end", test_call_after_end},
    {"/qmp/disconnect/call-while-failing", test_call_while_failing},
    {"/qmp/disconnect/free/fails-pending", test_free_fails_pending},
    {"/qmp/disconnect/free/in-reply", test_free_in_reply},
    {"/qmp/disconnect/free/in-event", test_free_in_event},
    {"/qmp/disconnect/free/in-failure", test_free_in_failure},
    {"/qmp/disconnect/free/in-disconnected", test_free_in_disconnected},
    {"/qmp/disconnect/free/in-deadline", test_free_in_deadline},
};

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add_cases(cases, G_N_ELEMENTS(cases));
    for (guint i = 0; i < G_N_ELEMENTS(garbage); i++) {
        g_autofree char *path = g_strconcat("/qmp/disconnect/garbage/", garbage[i].name, NULL);
        g_test_add(path, Fixture, &garbage[i], set_up, test_garbage, tear_down);
    }
    return g_test_run();
}

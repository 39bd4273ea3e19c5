/* SPDX-License-Identifier: MIT */
/*
 * The QMP client against a scripted peer on a socketpair, and against a real QEMU.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qmp/client.h"
#include "qmp/reader.h"
#include "tests/unit/lib/wait-until.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define FAR_MS   60000u /* a deadline that a passing test never reaches */

typedef struct {
    DinvQmpClient *client;
    int peer; /* blocking */
    GString *events;
    guint replies;
    char *result;   /* JSON text of the last result */
    GError *error;  /* of the last reply that failed */
    GString *order; /* one character per thing that happened */
    GError *end;    /* what `disconnected` said */
    guint disconnects;
    gboolean free_in_callback;
    gboolean call_in_callback;
} Fixture;

static void on_reply(struct json_object *result, const GError *error, gpointer user) {
    Fixture *fixture = user;

    g_assert_true((result == NULL) != (error == NULL));
    fixture->replies++;
    g_clear_error(&fixture->error);
    g_clear_pointer(&fixture->result, g_free);
    if (error != NULL) {
        fixture->error = g_error_copy(error);
    } else {
        fixture->result = g_strdup(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
    }
    g_string_append_c(fixture->order, 'r');
    if (fixture->call_in_callback) {
        fixture->call_in_callback = FALSE;
        dinv_qmp_client_call(fixture->client, "again", NULL, FAR_MS, on_reply, fixture);
    }
    if (fixture->free_in_callback && fixture->client != NULL) {
        /* As a user would: nothing refers to the client from here on. */
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static void on_event(DinvQmpClient *client G_GNUC_UNUSED, const char *name,
                     struct json_object *data, gpointer user) {
    Fixture *fixture = user;

    g_string_append_printf(
        fixture->events, "%s%s;", name,
        data == NULL ? "" : json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN));
    g_string_append_c(fixture->order, 'e');
    if (fixture->free_in_callback) {
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static void on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                            gpointer user) {
    Fixture *fixture = user;

    fixture->disconnects++;
    g_clear_error(&fixture->end);
    fixture->end = g_error_copy(error);
    g_string_append_c(fixture->order, 'd');
    if (fixture->free_in_callback) {
        dinv_qmp_client_free(g_steal_pointer(&fixture->client));
    }
}

static const DinvQmpCallbacks callbacks = {.event = on_event, .disconnected = on_disconnected};

static void set_up_with(Fixture *fixture, guint handshake_ms) {
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->peer = fds[1];
    fixture->events = g_string_new(NULL);
    fixture->order = g_string_new(NULL);
    fixture->client = dinv_qmp_client_new(fds[0], handshake_ms, &callbacks, fixture);
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_up_with(fixture, FAR_MS);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_qmp_client_free(fixture->client);
    if (fixture->peer >= 0) {
        (void)close(fixture->peer);
    }
    g_string_free(fixture->events, TRUE);
    g_string_free(fixture->order, TRUE);
    g_free(fixture->result);
    g_clear_error(&fixture->error);
    g_clear_error(&fixture->end);
    /* Nothing of the client may be left in the main context. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* ---- the peer ---- */

/* The loop runs while the socket is full. */
static void say_bytes(Fixture *fixture, const char *bytes, gsize len) {
    while (len > 0) {
        gssize n = send(fixture->peer, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            bytes += n;
            len -= (gsize)n;
        } else {
            g_assert_cmpint(errno, ==, EAGAIN);
            g_main_context_iteration(NULL, FALSE);
        }
    }
}

static void say(Fixture *fixture, const char *text) {
    say_bytes(fixture, text, strlen(text));
}

/* The next line that the client sends; runs the loop so that it does. */
static char *hear(Fixture *fixture) {
    GString *line = g_string_new(NULL);
    guint guard = g_timeout_add(FAR_MS, on_wait_guard, NULL);
    char c = '\0';

    while (c != '\n') {
        gssize n = recv(fixture->peer, &c, 1, MSG_DONTWAIT);

        if (n == 1) {
            g_string_append_c(line, c);
        } else {
            g_assert_cmpint(n, ==, -1);
            g_assert_cmpint(errno, ==, EAGAIN);
            g_main_context_iteration(NULL, TRUE);
        }
    }
    g_source_remove(guard);
    g_string_truncate(line, line->len - 1);
    return g_string_free(line, FALSE);
}

static void expect(Fixture *fixture, const char *line) {
    g_autofree char *heard = hear(fixture);

    g_assert_cmpstr(heard, ==, line);
}

/* Greeting and qmp_capabilities. With no call before, the handshake has id 1. */
static void shake_hands(Fixture *fixture) {
    say(fixture, GREETING);
    expect(fixture, "{\"execute\":\"qmp_capabilities\",\"id\":1}");
    say(fixture, "{\"return\": {}, \"id\": 1}\r\n{\"event\": \"UP\"}");
    wait_until(fixture->events->len > 0); /* so the reply before it was read, too */
    g_string_truncate(fixture->events, 0);
    g_string_truncate(fixture->order, 0);
}

static void call(Fixture *fixture, const char *command) {
    dinv_qmp_client_call(fixture->client, command, NULL, FAR_MS, on_reply, fixture);
}

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

/* ---- the real one ---- */

static void test_real_qemu(void) {
    Fixture fixture = {.peer = -1};
    g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
    g_autoptr(GError) error = NULL;
    struct json_object *arguments = json_object_new_object();
    int fds[2];
    GPid pid = 0;
    int status = 0;

    json_object_object_add(arguments, "command-line", json_object_new_string("info name"));
    if (qemu == NULL) {
        g_assert_cmpstr(g_getenv("DINV_MUST_WORK"), !=, "1");
        g_test_skip("qemu-system-x86_64 is not installed");
        json_object_put(arguments);
        return;
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture.events = g_string_new(NULL);
    fixture.order = g_string_new(NULL);
    fixture.client = dinv_qmp_client_new(fds[0], FAR_MS, &callbacks, &fixture);
    {
        const char *const argv[] = {qemu,
                                    "-M",
                                    "none",
                                    "-display",
                                    "none",
                                    "-nodefaults",
                                    "-no-user-config",
                                    "-name",
                                    "probe",
                                    "-chardev",
                                    "socket,id=qmp,fd=3",
                                    "-mon",
                                    "chardev=qmp,mode=control",
                                    NULL};
        g_assert_true(g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                                       NULL, NULL, -1, -1, -1, &fds[1], &(int){3},
                                                       1, &pid, NULL, NULL, NULL, &error));
        g_assert_no_error(error);
    }
    (void)close(fds[1]);
    call(&fixture, "query-status"); /* before the greeting: queued */
    wait_until(fixture.replies == 1);
    g_assert_no_error(fixture.error);
    g_assert_nonnull(strstr(fixture.result, "\"status\":\"running\""));
    dinv_qmp_client_call(fixture.client, "human-monitor-command", arguments, FAR_MS, on_reply,
                         &fixture);
    wait_until(fixture.replies == 2);
    g_assert_cmpstr(fixture.result, ==, "\"probe\\r\\n\"");
    call(&fixture, "no-such-command");
    wait_until(fixture.replies == 3);
    g_assert_error(fixture.error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND);
    call(&fixture, "query-qmp-schema"); /* some 200 KB in one line */
    wait_until(fixture.replies == 4);
    g_assert_no_error(fixture.error);
    g_assert_cmpuint(strlen(fixture.result), >, 100000);
    call(&fixture, "quit");
    wait_until(fixture.disconnects == 1);
    g_assert_cmpuint(fixture.replies, ==, 5);
    g_assert_no_error(fixture.error);
    g_assert_error(fixture.end, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED);
    g_assert_nonnull(
        strstr(fixture.events->str, "SHUTDOWN{\"guest\":false,\"reason\":\"host-qmp-quit\"};"));
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    tear_down(&fixture, NULL);
}

typedef struct {
    const char *path;
    void (*test)(Fixture *fixture);
} Case;

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
    {"/qmp/client/too-deep", test_too_deep},
    {"/qmp/client/eof", test_eof},
    {"/qmp/client/eof-mid-reply", test_eof_mid_reply},
    {"/qmp/client/eof-while-writing", test_eof_while_writing},
    {"/qmp/client/call-after-end", test_call_after_end},
    {"/qmp/client/call-while-failing", test_call_while_failing},
    {"/qmp/client/largest-reply", test_largest_reply},
    {"/qmp/client/reply-too-large", test_reply_too_large},
    {"/qmp/client/large-command", test_large_command},
    {"/qmp/client/deadline", test_deadline},
    {"/qmp/client/deadline-before-handshake", test_deadline_before_handshake},
    {"/qmp/client/free/fails-pending", test_free_fails_pending},
    {"/qmp/client/free/in-reply", test_free_in_reply},
    {"/qmp/client/free/in-event", test_free_in_event},
    {"/qmp/client/free/in-failure", test_free_in_failure},
    {"/qmp/client/free/in-disconnected", test_free_in_disconnected},
    {"/qmp/client/free/in-deadline", test_free_in_deadline},
};

static void run(Fixture *fixture, gconstpointer data) {
    const Case *one = data;

    one->test(fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].path, Fixture, &cases[i], set_up, run, tear_down);
    }
    for (guint i = 0; i < G_N_ELEMENTS(garbage); i++) {
        g_autofree char *path = g_strconcat("/qmp/client/garbage/", garbage[i].name, NULL);
        g_test_add(path, Fixture, &garbage[i], set_up, test_garbage, tear_down);
    }
    g_test_add_func("/qmp/client/handshake-deadline", test_handshake_deadline);
    g_test_add_func("/qmp/client/real-qemu", test_real_qemu);
    return g_test_run();
}

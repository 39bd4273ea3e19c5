/* SPDX-License-Identifier: MIT */
/* Requests, replies and events, and lines that break the protocol. */
#include "launcher/vm/control.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A scripted guest: the other end of the channel, and what the callbacks saw. */
typedef struct {
    int guest;
    DinvVmControl *control;
    GString *seen;
    guint replies;
    char *reply_error;
    gint64 reply_value;
} Fixture;

static void on_hello(gint64 protocol, const char *version, const char *kernel, gint64 uptime_us,
                     gpointer user) {
    Fixture *fixture = user;
    g_string_append_printf(fixture->seen, "hello %" G_GINT64_FORMAT " %s %s %" G_GINT64_FORMAT ";",
                           protocol, version, kernel, uptime_us);
}

static void on_phase(const char *name, gint64 uptime_us, gpointer user) {
    (void)uptime_us;
    g_string_append_printf(((Fixture *)user)->seen, "phase %s;", name);
}

static void on_ready(const char *engine, gint64 uptime_us, gpointer user) {
    (void)uptime_us;
    g_string_append_printf(((Fixture *)user)->seen, "ready %s;", engine);
}

static void on_log(DinvLogLevel level, const char *text, gpointer user) {
    g_string_append_printf(((Fixture *)user)->seen, "log %d %s;", (int)level, text);
}

static void on_failed(const char *what, const char *text, const char *log, gpointer user) {
    g_string_append_printf(((Fixture *)user)->seen, "failed %s %s %s;", what, text,
                           log != NULL ? log : "(none)");
}

static void on_exiting(gboolean clean, gpointer user) {
    g_string_append_printf(((Fixture *)user)->seen, "exit %d;", clean);
}

static void on_damaged(const char *disk, gpointer user) {
    g_string_append_printf(((Fixture *)user)->seen, "damaged %s;", disk);
}

static void on_request(gint64 id, const char *verb, struct json_object *message, gpointer user) {
    Fixture *fixture = user;
    struct json_object *port = NULL;
    json_object_object_get_ex(message, "port", &port);
    g_string_append_printf(fixture->seen, "request %s %s;", verb, json_object_get_string(port));
    dinv_vm_control_reply(fixture->control, id,
                          strcmp(verb, "publish") == 0 ? NULL : "unknown verb");
}

static void on_closed(gpointer user) {
    g_string_append(((Fixture *)user)->seen, "closed;");
}

static void on_reply(struct json_object *reply, const GError *error, gpointer user) {
    Fixture *fixture = user;
    fixture->replies++;
    g_free(fixture->reply_error);
    fixture->reply_error = error != NULL ? g_strdup(error->message) : NULL;
    struct json_object *value = NULL;
    if (reply != NULL && json_object_object_get_ex(reply, "value", &value)) {
        fixture->reply_value = json_object_get_int64(value);
    }
}

static void set_up(Fixture *fixture, gconstpointer data) {
    static const DinvVmControlCallbacks callbacks = {on_hello,   on_phase,  on_ready,
                                                     on_log,     on_failed, on_exiting,
                                                     on_request, on_closed, on_damaged};
    int fds[2];
    (void)data;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->guest = fds[1];
    fixture->seen = g_string_new(NULL);
    fixture->control = dinv_vm_control_new(fds[0], &callbacks, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_free(fixture->control);
    if (fixture->guest >= 0) {
        close(fixture->guest);
    }
    g_string_free(fixture->seen, TRUE);
    g_free(fixture->reply_error);
}

static void guest_says(Fixture *fixture, const char *text) {
    for (gsize sent = 0; sent < strlen(text);) {
        ssize_t result = write(fixture->guest, text + sent, strlen(text) - sent);
        if (result > 0) {
            sent += (gsize)result;
        }
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
}

static void wait_for_replies(Fixture *fixture, guint count) {
    while (fixture->replies < count) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static void test_events(Fixture *fixture, gconstpointer data) {
    (void)data;
    guest_says(fixture,
               "{\"event\":\"hello\",\"protocol\":1,\"version\":\"0.1\",\"kernel\":\"6.12\","
               "\"uptime_us\":7}\n{\"event\":\"phase\",\"name\":\"network-up\"}\n"
               "{\"event\":\"ready\",\"engine\":\"26\"}\n"
               "{\"event\":\"log\",\"level\":\"warning\",\"text\":\"x\"}\n"
               "{\"event\":\"damaged\",\"disk\":\"dinv-data\"}\n"
               "{\"event\":\"failed\",\"what\":\"disk\",\"text\":\"no\"}\n"
               "{\"event\":\"exit\",\"clean\":true}\n{\"event\":\"new\"}\n");
    g_assert_cmpstr(fixture->seen->str, ==,
                    "hello 1 0.1 6.12 7;phase network-up;ready 26;log 1 x;damaged dinv-data;"
                    "failed disk no (none);"
                    "exit 1;");
}

/* Requests of the guest are answered, each by its id; what is none has no answer. */
static void test_requests_of_the_guest(Fixture *fixture, gconstpointer data) {
    (void)data;
    guest_says(fixture, "{\"id\":7,\"verb\":\"publish\",\"port\":80}\n"
                        "{\"id\":8,\"verb\":\"dance\"}\n{\"id\":9}\n{\"id\":0,\"verb\":\"x\"}\n"
                        "{\"id\":\"a\",\"verb\":\"x\"}\n{\"verb\":\"x\"}\n");
    g_assert_cmpstr(fixture->seen->str, ==,
                    "request publish 80;request dance (null);request  (null);");
    char answers[512] = "";
    ssize_t len = read(fixture->guest, answers, sizeof answers - 1);
    g_assert_cmpint(len, >, 0);
    g_assert_cmpstr(answers, ==,
                    "{\"reply\":7,\"ok\":true}\n{\"reply\":8,\"error\":\"unknown verb\"}\n"
                    "{\"reply\":9,\"error\":\"unknown verb\"}\n");
}

static void test_split_reads(Fixture *fixture, gconstpointer data) {
    static const char line[] = "{\"event\":\"phase\",\"name\":\"a\"}\n{\"event\":\"exit\"}\n";
    (void)data;
    for (gsize i = 0; i < sizeof line - 1; i++) {
        char byte[2] = {line[i], '\0'};
        guest_says(fixture, byte);
    }
    g_assert_cmpstr(fixture->seen->str, ==, "phase a;exit 0;");
}

/* One after the other: none of them is a message, the last line is. */
static void test_not_json(Fixture *fixture, gconstpointer data) {
    static const char *const lines[] = {"{'event':'exit'}",
                                        "{\"event\":\"exit\"} {}",
                                        "{\"event\":\"exit\",}",
                                        "{\"event\":\"\xff\"}",
                                        "{\"event\":\"exit\",\"clean\":True}",
                                        "{\"event\":\"exit\"",
                                        "//\n{\"event\":\"phase\",\"name\":\"b\"}"};
    (void)data;
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        guest_says(fixture, lines[i]);
        guest_says(fixture, "\n");
    }
    g_assert_cmpstr(fixture->seen->str, ==, "phase b;");
    g_autofree char *open = g_strnfill(17, '[');
    g_autofree char *close = g_strnfill(17, ']');
    g_autofree char *deep = g_strdup_printf("{\"event\":\"exit\",\"x\":%s%s}\n", open, close);
    guest_says(fixture, deep);
    g_assert_cmpstr(fixture->seen->str, ==, "phase b;");
}

static void test_wrong_types(Fixture *fixture, gconstpointer data) {
    (void)data;
    guest_says(fixture, "{\"event\":\"hello\",\"protocol\":\"one\",\"version\":{}}\n"
                        "{\"event\":7}\n[1]\n\"text\"\n{\n\n{\"reply\":\"x\"}\n");
    g_assert_cmpstr(fixture->seen->str, ==, "hello 0 ? ? 0;");
}

static void test_line_too_long(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *filler = g_strnfill(3u << 20, 'x');
    guest_says(fixture, filler);
    guest_says(fixture, "\n{\"event\":\"exit\",\"clean\":true}\n");
    g_assert_cmpstr(fixture->seen->str, ==, "exit 1;");
}

static gint64 read_request_id(Fixture *fixture) {
    char buffer[1024] = "";
    while (read(fixture->guest, buffer, sizeof buffer - 1) <= 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    struct json_object *request = json_tokener_parse(buffer);
    g_assert_nonnull(request);
    gint64 id = json_object_get_int64(json_object_object_get(request, "id"));
    json_object_put(request);
    return id;
}

static void test_reply(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, on_reply, fixture);
    gint64 id = read_request_id(fixture);
    g_autofree char *unknown =
        g_strdup_printf("{\"reply\":%" G_GINT64_FORMAT ",\"ok\":true}\n", id + 7);
    guest_says(fixture, unknown);
    g_assert_cmpuint(fixture->replies, ==, 0);
    g_autofree char *reply =
        g_strdup_printf("{\"reply\":%" G_GINT64_FORMAT ",\"ok\":true,\"value\":42}\n", id);
    guest_says(fixture, reply);
    guest_says(fixture, reply);
    g_assert_cmpuint(fixture->replies, ==, 1);
    g_assert_null(fixture->reply_error);
    g_assert_cmpint(fixture->reply_value, ==, 42);
}

static void test_refused(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_request(fixture->control, "trim", NULL, 60000, on_reply, fixture);
    g_autofree char *reply =
        g_strdup_printf("{\"reply\":%" G_GINT64_FORMAT ",\"error\":\"no \\u001b[31m disk\"}\n",
                        read_request_id(fixture));
    guest_says(fixture, reply);
    g_assert_cmpstr(fixture->reply_error, ==, "no \\x1b[31m disk");
}

static void test_timeout_and_late_reply(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_request(fixture->control, "stats", NULL, 1, on_reply, fixture);
    gint64 id = read_request_id(fixture);
    wait_for_replies(fixture, 1);
    g_assert_cmpstr(fixture->reply_error, ==, "the guest did not answer in time");
    g_autofree char *late = g_strdup_printf("{\"reply\":%" G_GINT64_FORMAT ",\"ok\":true}\n", id);
    guest_says(fixture, late);
    g_assert_cmpuint(fixture->replies, ==, 1);
}

static void test_close_fails_pending(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, on_reply, fixture);
    dinv_vm_control_request(fixture->control, "trim", NULL, 60000, on_reply, fixture);
    close(fixture->guest);
    fixture->guest = -1;
    wait_for_replies(fixture, 2);
    g_assert_cmpstr(fixture->reply_error, ==, "the control channel was closed");
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpstr(fixture->seen->str, ==, "closed;");
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, on_reply, fixture);
    g_assert_cmpuint(fixture->replies, ==, 2);
    wait_for_replies(fixture, 3);
}

/* Events that wait in the channel of a guest that has gone; a half line is none. */
static void test_drain(Fixture *fixture, gconstpointer data) {
    static const char text[] = "{\"event\":\"exit\",\"clean\":true}\n{\"event\":";
    (void)data;
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, on_reply, fixture);
    dinv_vm_control_drain(fixture->control);
    g_assert_cmpstr(fixture->seen->str, ==, "");
    g_assert_cmpint(write(fixture->guest, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(fixture->guest);
    fixture->guest = -1;
    dinv_vm_control_drain(fixture->control);
    g_assert_cmpstr(fixture->seen->str, ==, "exit 1;closed;");
    g_assert_cmpuint(fixture->replies, ==, 1);
    dinv_vm_control_drain(fixture->control);
    g_assert_cmpstr(fixture->seen->str, ==, "exit 1;closed;");
}

static void ask_again(struct json_object *reply, const GError *error, gpointer user) {
    Fixture *fixture = user;
    g_assert_null(reply);
    g_assert_nonnull(error);
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, on_reply, fixture);
}

/* A request made from within the end of another one ends too. */
static void test_free_with_requests(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_control_request(fixture->control, "stats", NULL, 60000, ask_again, fixture);
    dinv_vm_control_free(fixture->control);
    fixture->control = NULL;
    g_assert_cmpuint(fixture->replies, ==, 1);
}

/* A guest that does not read costs a bounded amount of memory. */
static void test_output_is_bounded(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *filler = g_strnfill(1u << 20, 'x');
    for (guint i = 0; i < 8; i++) {
        struct json_object *fields = json_object_new_object();
        json_object_object_add(fields, "filler", json_object_new_string(filler));
        dinv_vm_control_request(fixture->control, "stats", fields, 60000, on_reply, fixture);
    }
    wait_for_replies(fixture, 3);
    g_assert_cmpstr(fixture->reply_error, ==, "the control channel was closed");
    g_assert_cmpuint(fixture->replies, <=, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/control/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("events", test_events);
    ADD("requests-of-the-guest", test_requests_of_the_guest);
    ADD("split-reads", test_split_reads);
    ADD("not-json", test_not_json);
    ADD("wrong-types", test_wrong_types);
    ADD("line-too-long", test_line_too_long);
    ADD("reply", test_reply);
    ADD("refused", test_refused);
    ADD("timeout-and-late-reply", test_timeout_and_late_reply);
    ADD("close-fails-pending", test_close_fails_pending);
    ADD("drain", test_drain);
    ADD("free-with-requests", test_free_with_requests);
    ADD("output-is-bounded", test_output_is_bounded);
    return g_test_run();
}

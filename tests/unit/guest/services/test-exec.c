/* SPDX-License-Identifier: MIT */
/* The exec service with real commands, terminals and pipes, behind a real mux on both sides. */
#include "tests/unit/lib/guest-relay.h"

#include "relay/exec.h"

/* One exec stream, seen from the client. */
typedef struct {
    RelayClient base;
    bool paused; /* does not read */
    DinvExecParser parser;
    GString *out;
    GString *err;
    bool exited;
    uint8_t exit_kind;
    int32_t exit_value;
} Client;

static void client_parsed_data(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Client *client = user;
    g_assert_false(client->exited); /* the exit record is the last */
    g_assert_true(type == DINV_EXEC_STDOUT || type == DINV_EXEC_STDERR);
    g_string_append_len(type == DINV_EXEC_STDOUT ? client->out : client->err, (const char *)bytes,
                        (gssize)len);
}

static void client_parsed_control(void *user, DinvExecType type, const uint8_t *bytes, size_t len) {
    Client *client = user;
    g_assert_cmpint(type, ==, DINV_EXEC_EXIT);
    g_assert_cmpuint(len, ==, 5);
    client->exited = true;
    client->exit_kind = bytes[0];
    client->exit_value = (int32_t)((guint32)bytes[1] << 24 | (guint32)bytes[2] << 16 |
                                   (guint32)bytes[3] << 8 | bytes[4]);
}

static void client_receive(Client *client) {
    static const DinvExecCallbacks callbacks = {
        .data = client_parsed_data,
        .control = client_parsed_control,
    };
    const uint8_t *bytes;
    ssize_t len;
    while (!client->paused && (len = dinv_relay_stream_peek(client->base.stream, &bytes)) >= 0) {
        if (len == 0) {
            client->base.ended = true;
            dinv_relay_stream_finish(client->base.stream);
            break;
        }
        g_assert_cmpint(dinv_exec_parse(&client->parser, bytes, (size_t)len, &callbacks, client),
                        ==, 0);
        dinv_relay_stream_consume(client->base.stream, (size_t)len);
    }
    launcher_kick(client->base.fixture->launcher);
}

static void client_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    client_receive(dinv_relay_stream_get_data(stream));
}

static Client *client_new(RelayFixture *fixture, const char *argument) {
    Client *client = g_new0(Client, 1);
    client->out = g_string_new(NULL);
    client->err = g_string_new(NULL);
    relay_client_init(&client->base, fixture, "exec", argument);
    return client;
}

static void client_free(Client *client) {
    relay_client_clear(&client->base);
    g_string_free(client->out, TRUE);
    g_string_free(client->err, TRUE);
    g_free(client);
}

static void client_queue(Client *client, DinvExecType type, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    do {
        size_t part = MIN(len, DINV_EXEC_PAYLOAD_MAX);
        uint8_t header[DINV_EXEC_HEADER];
        dinv_exec_header(header, type, (uint32_t)part);
        g_byte_array_append(client->base.to_send, header, sizeof header);
        if (part > 0) {
            g_byte_array_append(client->base.to_send, at, (guint)part);
            at += part;
        }
        len -= part;
    } while (len > 0);
    relay_client_send(&client->base);
}

static void client_end_input(Client *client) {
    client_queue(client, DINV_EXEC_STDIN, NULL, 0);
}

static bool client_has_output(void *user) {
    Client *client = user;
    return client->out->len > 0 && client->out->str[client->out->len - 1] == '\n';
}

static void fixture_set_up(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    relay_fixture_init(fixture, 4096, client_readable);
}

static void fixture_tear_down(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    relay_fixture_clear(fixture);
}

/* Runs a shell command to its end, without input. */
static Client *run_shell(RelayFixture *fixture, const char *script) {
    g_autofree char *argument = g_strdup_printf("{\"argv\": [\"sh\", \"-c\", \"%s\"]}", script);
    Client *client = client_new(fixture, argument);
    client_end_input(client);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, 0);
    g_assert_true(client->exited);
    return client;
}

static void check_exit(const Client *client, uint8_t kind, int32_t value) {
    g_assert_cmpint(client->exit_kind, ==, kind);
    g_assert_cmpint(client->exit_value, ==, value);
}

static void test_exit_statuses(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    static const struct {
        const char *script;
        uint8_t kind;
        int32_t value;
    } cases[] = {{"exit 0", 0, 0},
                 {"exit 1", 0, 1},
                 {"exit 137", 0, 137},
                 {"kill -KILL $$", 1, 9},
                 {"kill -TERM $$", 1, 15}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Client *client = run_shell(fixture, cases[i].script);
        check_exit(client, cases[i].kind, cases[i].value);
        client_free(client);
    }
}

static void test_outputs_are_apart(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = run_shell(fixture, "echo out; echo err >&2; pwd; test -t 0 || echo pipe");
    g_assert_cmpstr(client->err->str, ==, "err\n");
    g_assert_true(g_str_has_prefix(client->out->str, "out\n/"));
    g_assert_true(g_str_has_suffix(client->out->str, "\npipe\n"));
    client_free(client);
}

static void test_cannot_start(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    static const struct {
        const char *argument;
        int32_t error;
    } cases[] = {{"{\"argv\": [\"/does/not/exist\"]}", ENOENT},
                 {"{\"argv\": [\"/dev\"]}", EACCES},
                 {"{\"argv\": [\"sh\"], \"cwd\": \"/does/not/exist\"}", ENOENT}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Client *client = client_new(fixture, cases[i].argument);
        harness_run_until(&fixture->harness, relay_client_is_over, client);
        g_assert_true(client->exited);
        check_exit(client, 2, cases[i].error);
        client_free(client);
    }
}

static void test_wrong_argument_is_refused(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    static const char *const arguments[] = {"",
                                            "[]",
                                            "{",
                                            "{\"argv\": \"sh\"}",
                                            "{\"argv\": [1]}",
                                            "{}",
                                            "{\"argv\": []}",
                                            "{\"argv\": [\"a\"], \"user\": 1}",
                                            "{\"argv\": [\"a\"], \"tty\": 1}",
                                            "{\"argv\": [\"a\"], \"rows\": 70000}",
                                            "{\"argv\": [\"a\\u0000b\"]}",
                                            "{\"argv\": [\"a\"], \"env\": {\"A=B\": \"c\"}}",
                                            "{\"argv\": [\"a\"], \"cwd\": 3}"};
    for (gsize i = 0; i < G_N_ELEMENTS(arguments); i++) {
        Client *client = client_new(fixture, arguments[i]);
        harness_run_until(&fixture->harness, relay_client_is_over, client);
        g_assert_cmpint(client->base.error, ==, EINVAL);
        client_free(client);
    }
}

static void test_environment(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client =
        client_new(fixture, "{\"argv\": [\"sh\", \"-c\", \"echo $FOO $HOME $TERM; pwd\"], "
                            "\"env\": {\"FOO\": \"b r\", \"HOME\": \"/x\"}, \"cwd\": \"/tmp\"}");
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    g_assert_cmpstr(client->out->str, ==, "b r /x\n/tmp\n");
    client_free(client);
}

static void test_user(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(fixture, "{\"argv\": [\"true\"], \"user\": \"no such user\"}");
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 2, ENOENT);
    client_free(client);
    client =
        client_new(fixture, "{\"argv\": [\"sh\", \"-c\", \"id -un; echo $HOME; test -w /dev/tty "
                            "&& echo tty\"], \"user\": \"daemon\", \"tty\": true}");
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    if (getuid() != 0) {
        check_exit(client, 2, EPERM); /* only root can become somebody else */
        client_free(client);
        return;
    }
    check_exit(client, 0, 0);
    g_assert_cmpstr(client->out->str, ==, "daemon\r\n/usr/sbin\r\ntty\r\n");
    client_free(client);
}

static void test_cat_10_mb(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    gsize len = 10485767;
    g_autofree guint8 *bytes = g_malloc(len);
    for (gsize i = 0; i < len; i++) {
        bytes[i] = (guint8)g_random_int();
    }
    Client *client = client_new(fixture, "{\"argv\": [\"cat\"]}");
    client_queue(client, DINV_EXEC_STDIN, bytes, len);
    client_end_input(client);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 0, 0);
    g_autofree char *expected = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, len);
    g_autofree char *got = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, (const guchar *)client->out->str, client->out->len);
    g_assert_cmpuint(client->out->len, ==, len);
    g_assert_cmpstr(got, ==, expected);
    client_free(client);
}

/* A command that ends without reading must not keep the rest of its input, or hang on it. */
static void test_input_not_read(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    gsize len = 4194304;
    g_autofree guint8 *bytes = g_malloc0(len);
    Client *client = client_new(fixture, "{\"argv\": [\"sh\", \"-c\", \"exec <&-; echo done\"]}");
    client_queue(client, DINV_EXEC_STDIN, bytes, len);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 0, 0);
    g_assert_cmpstr(client->out->str, ==, "done\n");
    client_free(client);
}

/* What a command wrote before it ended arrives, though something it started keeps the pipe. */
static void test_left_behind_process(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = run_shell(fixture, "sleep 300 & echo $!; seq 1 2000");
    check_exit(client, 0, 0);
    g_assert_true(g_str_has_suffix(client->out->str, "\n2000\n"));
    g_assert_cmpint(kill((pid_t)g_ascii_strtoll(client->out->str, NULL, 10), SIGKILL), ==, 0);
    client_free(client);
}

static void test_terminal_resize(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(
        fixture, "{\"argv\": [\"sh\", \"-c\", \"stty -echo; test -t 2 && stty size; read x; stty "
                 "size; echo $TERM\"], \"tty\": true, \"rows\": 30, \"cols\": 90}");
    harness_run_until(&fixture->harness, client_has_output, client);
    g_assert_cmpstr(client->out->str, ==, "30 90\r\n");
    client_queue(client, DINV_EXEC_RESIZE, "\x00\x28\x01\x2c", 4);
    client_queue(client, DINV_EXEC_STDIN, "\n", 1);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 0, 0);
    g_assert_cmpstr(client->out->str, ==, "30 90\r\n40 300\r\nxterm\r\n");
    client_free(client);
}

static void test_terminal_end_of_input(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(
        fixture, "{\"argv\": [\"sh\", \"-c\", \"stty -echo; echo go; cat\"], \"tty\": true}");
    harness_run_until(&fixture->harness, client_has_output, client);
    client_queue(client, DINV_EXEC_STDIN, "text\n", 5);
    client_end_input(client);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 0, 0);
    g_assert_cmpstr(client->out->str, ==, "go\r\ntext\r\n");
    client_free(client);
}

/* ^C in a terminal reaches the group in the foreground, as a byte and as a record. */
static void test_terminal_interrupt(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    for (int as_record = 0; as_record < 2; as_record++) {
        Client *client = client_new(
            fixture, "{\"argv\": [\"sh\", \"-c\", \"echo go; exec sleep 300\"], \"tty\": true}");
        harness_run_until(&fixture->harness, client_has_output, client);
        if (as_record == 1) {
            client_queue(client, DINV_EXEC_SIGNAL, "\x02", 1);
        } else {
            client_queue(client, DINV_EXEC_STDIN, "\x03", 1);
        }
        harness_run_until(&fixture->harness, relay_client_is_over, client);
        check_exit(client, 1, SIGINT);
        client_free(client);
    }
}

static void test_signal(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    /* To the whole group: the shell waits for sleep, and both must go. */
    Client *client =
        client_new(fixture, "{\"argv\": [\"sh\", \"-c\", \"echo go; sleep 300; exit 3\"]}");
    harness_run_until(&fixture->harness, client_has_output, client);
    client_queue(client, DINV_EXEC_SIGNAL, "\x0f", 1);
    harness_run_until(&fixture->harness, relay_client_is_over, client);
    check_exit(client, 1, SIGTERM);
    client_free(client);
}

static bool process_is_gone(void *user) {
    return kill(*(pid_t *)user, 0) < 0 && errno == ESRCH;
}

static void test_reset_ends_command(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    static const char *const arguments[] = {
        "{\"argv\": [\"sh\", \"-c\", \"echo $$; exec sleep 300\"]}",
        "{\"argv\": [\"sh\", \"-c\", \"echo $$; exec sleep 300\"], \"tty\": true}",
        /* deaf to SIGHUP */
        "{\"argv\": [\"sh\", \"-c\", \"trap '' HUP; echo $$; while :; do sleep 1; done\"]}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(arguments); i++) {
        Client *client = client_new(fixture, arguments[i]);
        harness_run_until(&fixture->harness, client_has_output, client);
        pid_t pid = (pid_t)g_ascii_strtoll(client->out->str, NULL, 10);
        g_assert_cmpint(kill(pid, 0), ==, 0);
        client_free(client);
        harness_run_until(&fixture->harness, process_is_gone, &pid);
    }
}

static void test_client_breaks_protocol(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    static const char *const wrong[] = {"z\0\0\0\0", "o\0\0\0\1x", "s\0\0\0\1\0", "i\1\0\0\0"};
    static const guint lengths[] = {5, 6, 6, 5};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        Client *client = client_new(fixture, "{\"argv\": [\"sleep\", \"300\"]}");
        g_byte_array_append(client->base.to_send, (const guint8 *)wrong[i], lengths[i]);
        relay_client_send(&client->base);
        harness_run_until(&fixture->harness, relay_client_is_over, client);
        g_assert_cmpint(client->base.error, ==, EPROTO);
        client_free(client);
    }
}

/* One that is not read is held back, with bounded memory, and does not stop another. */
static void test_slow_reader(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *slow = client_new(fixture, "{\"argv\": [\"yes\"]}");
    slow->paused = true;
    for (int i = 0; i < 20; i++) {
        Client *quick = run_shell(fixture, "seq 1 20000 | tail -n 1");
        g_assert_cmpstr(quick->out->str, ==, "20000\n");
        client_free(quick);
    }
    DinvRelayStats stats;
    dinv_service_relay_get_stats(fixture->host, &stats);
    g_test_message("memory of the guest's mux with one stream that is not read: %zu", stats.memory);
    g_assert_cmpuint(stats.memory, <, 2000000);
    slow->paused = false;
    client_receive(slow);
    gsize before = slow->out->len;
    g_assert_cmpuint(before, >, 0);
    client_queue(slow, DINV_EXEC_SIGNAL, "\x09", 1);
    harness_run_until(&fixture->harness, relay_client_is_over, slow);
    check_exit(slow, 1, SIGKILL);
    client_free(slow);
}

static void test_too_many(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *clients[64];
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = client_new(fixture, "{\"argv\": [\"cat\"]}");
    }
    Client *refused = client_new(fixture, "{\"argv\": [\"cat\"]}");
    harness_run_until(&fixture->harness, relay_client_is_over, refused);
    g_assert_cmpint(refused->base.error, ==, EMFILE);
    client_free(refused);
    for (gsize i = 0; i < G_N_ELEMENTS(clients); i++) {
        client_end_input(clients[i]);
        harness_run_until(&fixture->harness, relay_client_is_over, clients[i]);
        check_exit(clients[i], 0, 0);
        client_free(clients[i]);
    }
}

static void test_launcher_goes_away(RelayFixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(fixture, "{\"argv\": [\"sh\", \"-c\", \"echo $$; exec cat\"]}");
    harness_run_until(&fixture->harness, client_has_output, client);
    pid_t pid = (pid_t)g_ascii_strtoll(client->out->str, NULL, 10);
    dinv_channel_port_free(fixture->launcher->port);
    int ends[2];
    harness_socketpair(ends);
    close(ends[0]);
    /* A port for the tear-down; the guest's own sees the end of the stream meanwhile. */
    static const DinvChannelPortCallbacks callbacks = {
        .connected = launcher_connected,
        .disconnected = launcher_disconnected,
        .received = launcher_received,
        .writable = launcher_flush,
    };
    fixture->launcher->port =
        dinv_channel_port_new(fixture->harness.loop, ends[1], &callbacks, fixture->launcher);
    harness_run_until(&fixture->harness, process_is_gone, &pid);
    client_free(client);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        void (*run)(RelayFixture *fixture, gconstpointer data);
    } tests[] = {
        {"/guest/exec/exit-statuses", test_exit_statuses},
        {"/guest/exec/outputs-are-apart", test_outputs_are_apart},
        {"/guest/exec/cannot-start", test_cannot_start},
        {"/guest/exec/wrong-argument-is-refused", test_wrong_argument_is_refused},
        {"/guest/exec/environment", test_environment},
        {"/guest/exec/user", test_user},
        {"/guest/exec/cat-10-mb", test_cat_10_mb},
        {"/guest/exec/input-not-read", test_input_not_read},
        {"/guest/exec/left-behind-process", test_left_behind_process},
        {"/guest/exec/terminal-resize", test_terminal_resize},
        {"/guest/exec/terminal-end-of-input", test_terminal_end_of_input},
        {"/guest/exec/terminal-interrupt", test_terminal_interrupt},
        {"/guest/exec/signal", test_signal},
        {"/guest/exec/reset-ends-command", test_reset_ends_command},
        {"/guest/exec/client-breaks-protocol", test_client_breaks_protocol},
        {"/guest/exec/slow-reader", test_slow_reader},
        {"/guest/exec/too-many", test_too_many},
        {"/guest/exec/launcher-goes-away", test_launcher_goes_away},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, RelayFixture, NULL, fixture_set_up, tests[i].run,
                   fixture_tear_down);
    }
    return g_test_run();
}

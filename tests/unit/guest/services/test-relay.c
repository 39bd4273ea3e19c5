/* SPDX-License-Identifier: MIT */
/* The docker and log services, behind a real mux on both sides. */
#include "tests/unit/lib/guest-relay.h"

typedef struct {
    RelayFixture base;
    int listener; /* a socket in dockerd's place; -1: closed */
} Fixture;

/* One stream, seen from the client. */
typedef struct {
    RelayClient base;
    GString *received;
    gsize wanted; /* for client_has_wanted() */
} Client;

static void client_readable(void *user, DinvRelayStream *stream) {
    (void)user;
    Client *client = dinv_relay_stream_get_data(stream);
    const uint8_t *bytes;
    ssize_t len;
    while ((len = dinv_relay_stream_peek(stream, &bytes)) > 0) {
        g_string_append_len(client->received, (const char *)bytes, len);
        dinv_relay_stream_consume(stream, (size_t)len);
    }
    client->base.ended = len == 0;
    launcher_kick(client->base.fixture->launcher);
}

static Client *client_new(Fixture *fixture, const char *service, const char *argument) {
    Client *client = g_new0(Client, 1);
    client->received = g_string_new(NULL);
    relay_client_init(&client->base, &fixture->base, service, argument);
    return client;
}

static void client_free(Client *client) {
    relay_client_clear(&client->base);
    g_string_free(client->received, TRUE);
    g_free(client);
}

static bool client_has_wanted(void *user) {
    Client *client = user;
    return client->received->len >= client->wanted;
}

static void fixture_set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    relay_fixture_init(&fixture->base, 1000, client_readable);
    fixture->listener = harness_listen(fixture->base.socket_path);
    g_assert_cmpint(fixture->listener, >=, 0);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    if (fixture->listener >= 0) {
        close(fixture->listener);
    }
    relay_fixture_clear(&fixture->base);
}

/* One connection at dockerd's place: answers nothing until it has seen the end, then gives all of
 * it back, as a hijacked connection with half-close needs it. */
typedef struct {
    Fixture *fixture;
    int fd;
    GByteArray *seen;
    guint answered;
    bool closed;
} Engine;

static void engine_ready(void *user, int fd, short revents) {
    Engine *engine = user;
    (void)revents;
    guint8 bytes[32768];
    ssize_t len;
    while ((len = read(fd, bytes, sizeof bytes)) > 0) {
        g_byte_array_append(engine->seen, bytes, (guint)len);
    }
    if (len < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
        return;
    }
    while (engine->answered < engine->seen->len) {
        ssize_t written =
            write(fd, engine->seen->data + engine->answered, engine->seen->len - engine->answered);
        if (written < 0) {
            if (errno == EPIPE) {
                break; /* the client went away without waiting for the answer */
            }
            g_assert_cmpint(errno, ==, EAGAIN);
            (void)dinv_loop_watch(engine->fixture->base.harness.loop, fd, POLLOUT, engine_ready,
                                  engine);
            return;
        }
        engine->answered += (guint)written;
    }
    dinv_loop_unwatch(engine->fixture->base.harness.loop, fd);
    close(fd);
    engine->closed = true;
}

static void engine_accept(void *user, int fd, short revents) {
    (void)revents;
    Engine *engine = user;
    dinv_loop_unwatch(engine->fixture->base.harness.loop, fd);
    engine->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_assert_cmpint(engine->fd, >=, 0);
    g_assert_cmpint(dinv_loop_watch(engine->fixture->base.harness.loop, engine->fd, POLLIN,
                                    engine_ready, engine),
                    ==, 0);
}

static void test_docker_half_close(Fixture *fixture, gconstpointer data) {
    (void)data;
    Engine engine = {.fixture = fixture, .fd = -1, .seen = g_byte_array_new()};
    g_assert_cmpint(dinv_loop_watch(fixture->base.harness.loop, fixture->listener, POLLIN,
                                    engine_accept, &engine),
                    ==, 0);
    Client *client = client_new(fixture, "docker", "");
    gsize len = 3u * 1024 * 1024 + 1;
    g_byte_array_set_size(client->base.to_send, (guint)len);
    for (gsize i = 0; i < len; i++) {
        client->base.to_send->data[i] = (guint8)(i * 2654435761u >> 24);
    }
    client->base.finish = true;
    relay_client_send(&client->base);
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, 0);
    g_assert_true(engine.closed);
    g_assert_cmpuint(client->received->len, ==, len);
    g_assert_true(memcmp(client->received->str, client->base.to_send->data, len) == 0);
    client_free(client);
    g_byte_array_unref(engine.seen);
}

static bool engine_saw_end(void *user) {
    Engine *engine = user;
    return engine->closed;
}

/* A client that goes away is seen by dockerd as the end of its connection. */
static void test_docker_reset(Fixture *fixture, gconstpointer data) {
    (void)data;
    Engine engine = {.fixture = fixture, .fd = -1, .seen = g_byte_array_new()};
    g_assert_cmpint(dinv_loop_watch(fixture->base.harness.loop, fixture->listener, POLLIN,
                                    engine_accept, &engine),
                    ==, 0);
    Client *client = client_new(fixture, "docker", "");
    g_byte_array_append(client->base.to_send, (const guint8 *)"GET", 3);
    relay_client_send(&client->base);
    while (engine.seen->len < 3) {
        g_assert_cmpint(dinv_loop_iterate(fixture->base.harness.loop, 100), ==, 0);
    }
    client_free(client);
    harness_run_until(&fixture->base.harness, engine_saw_end, &engine);
    g_byte_array_unref(engine.seen);
}

static void test_docker_not_there(Fixture *fixture, gconstpointer data) {
    (void)data;
    close(fixture->listener);
    fixture->listener = -1;
    Client *client = client_new(fixture, "docker", "");
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, ECONNREFUSED);
    client_free(client);
    (void)unlink(fixture->base.socket_path);
    client = client_new(fixture, "docker", "");
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, ENOENT);
    client_free(client);
}

static void test_unknown_service(Fixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(fixture, "nothing", "");
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, ENOENT);
    client_free(client);
}

static void append(Fixture *fixture, const char *text) {
    dinv_engine_log_append(fixture->base.log, text, strlen(text));
}

static void test_log_tail(Fixture *fixture, gconstpointer data) {
    (void)data;
    append(fixture, "one\ntwo\nthree\n");
    static const struct {
        const char *argument;
        const char *expected;
    } cases[] = {{"{\"name\": \"dockerd\"}", "one\ntwo\nthree\n"},
                 {"{\"name\": \"dockerd\", \"tail\": 2}", "two\nthree\n"},
                 {"{\"name\": \"dockerd\", \"tail\": 0}", ""},
                 {"{\"name\": \"dockerd\", \"tail\": 99, \"follow\": false}", "one\ntwo\nthree\n"}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Client *client = client_new(fixture, "log", cases[i].argument);
        harness_run_until(&fixture->base.harness, relay_client_is_over, client);
        g_assert_cmpint(client->base.error, ==, 0);
        g_assert_cmpstr(client->received->str, ==, cases[i].expected);
        client_free(client);
    }
}

static void test_log_follow(Fixture *fixture, gconstpointer data) {
    (void)data;
    append(fixture, "one\ntwo\n");
    Client *client =
        client_new(fixture, "log", "{\"name\": \"dockerd\", \"tail\": 1, \"follow\": true}");
    client->wanted = strlen("two\n");
    harness_run_until(&fixture->base.harness, client_has_wanted, client);
    GString *expected = g_string_new("two\n");
    /* More than the log keeps: a follower that keeps up misses nothing. */
    for (int i = 0; i < 300; i++) {
        g_autofree char *line = g_strdup_printf("line %d\n", i);
        append(fixture, line);
        g_string_append(expected, line);
        client->wanted = expected->len;
        harness_run_until(&fixture->base.harness, client_has_wanted, client);
    }
    g_assert_cmpstr(client->received->str, ==, expected->str);
    g_assert_false(client->base.ended);
    g_string_free(expected, TRUE);
    client_free(client);
}

static void test_log_wrong_argument(Fixture *fixture, gconstpointer data) {
    (void)data;
    static const struct {
        const char *argument;
        int error;
    } cases[] = {{"", EINVAL},
                 {"{}", EINVAL},
                 {"{\"name\": 1}", EINVAL},
                 {"{\"name\": \"dockerd\", \"tail\": -1}", EINVAL},
                 {"{\"name\": \"/etc/passwd\"}", ENOENT}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Client *client = client_new(fixture, "log", cases[i].argument);
        harness_run_until(&fixture->base.harness, relay_client_is_over, client);
        g_assert_cmpint(client->base.error, ==, cases[i].error);
        client_free(client);
    }
}

/* The launcher's restart: garbage, as the rest of an old frame is, then a hello of a new mux. */
static void test_protocol_error_starts_anew(Fixture *fixture, gconstpointer data) {
    (void)data;
    Client *client = client_new(fixture, "log", "{\"name\": \"dockerd\", \"follow\": true}");
    append(fixture, "x\n");
    client->wanted = 2;
    harness_run_until(&fixture->base.harness, client_has_wanted, client);
    guint8 garbage[64];
    memset(garbage, 0xee, sizeof garbage);
    g_assert_cmpint(dinv_channel_port_write(fixture->base.launcher->port, garbage, sizeof garbage),
                    ==, (ssize_t)sizeof garbage);
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, ECONNRESET);
    client_free(client);
    dinv_relay_mux_restart(fixture->base.launcher->mux, g_random_int());
    launcher_kick(fixture->base.launcher);
    client = client_new(fixture, "log", "{\"name\": \"dockerd\"}");
    harness_run_until(&fixture->base.harness, relay_client_is_over, client);
    g_assert_cmpint(client->base.error, ==, 0);
    g_assert_cmpstr(client->received->str, ==, "x\n");
    client_free(client);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"/guest/docker/half-close", test_docker_half_close},
        {"/guest/docker/reset", test_docker_reset},
        {"/guest/docker/not-there", test_docker_not_there},
        {"/guest/relay-host/unknown-service", test_unknown_service},
        {"/guest/relay-host/protocol-error-starts-anew", test_protocol_error_starts_anew},
        {"/guest/log/tail", test_log_tail},
        {"/guest/log/follow", test_log_follow},
        {"/guest/log/wrong-argument", test_log_wrong_argument},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, fixture_set_up, tests[i].run, fixture_tear_down);
    }
    return g_test_run();
}

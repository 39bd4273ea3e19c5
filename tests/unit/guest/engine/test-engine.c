/* SPDX-License-Identifier: MIT */
/*
 * dockerd's supervision. In dockerd's place runs this program itself, called with --fake-dockerd
 * and what it is to do.
 */
#include "tests/unit/lib/guest-daemon.h"

#include <stdlib.h>

#include "guest/engine/engine.h"

static char *program; /* argv[0] of the test */

/* --- in dockerd's place ----------------------------------------------------------------------- */

/* Answers one ping with `reply`, in the pieces that '|' marks. */
static void fake_answer(int listener, const char *reply) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char request[1024];
    ssize_t len = read(fd, request, sizeof request - 1);
    request[len > 0 ? len : 0] = '\0';
    if (!g_str_has_prefix(request, "GET /_ping HTTP/1.0\r\n")) {
        exit(70);
    }
    g_auto(GStrv) pieces = g_strsplit(reply, "|", -1);
    for (char **piece = pieces; *piece != NULL; piece++) {
        if (write(fd, *piece, strlen(*piece)) < 0) {
            exit(71);
        }
    }
    close(fd);
}

static int fake_dockerd(const char *mode, const char *socket_path) {
    printf("fake dockerd: %s, FOO=%s, PATH=%s\n", mode, getenv("FOO"), getenv("PATH"));
    (void)fflush(stdout);
    if (strcmp(mode, "die") == 0) {
        return daemon_die_at_start();
    }
    if (strcmp(mode, "mute") == 0) {
        for (;;) {
            (void)pause();
        }
    }
    int listener = harness_listen(socket_path);
    fake_answer(listener, "HTTP/1.0 503 Service Unavailable\r\n\r\nnot yet");
    fake_answer(listener, "HTTP/1.0 200 OK\r\nser|ver: Docker/26.1.5+dfsg1 (linux)\r|\n\r\nO|K");
    if (strcmp(mode, "die-later") == 0) {
        (void)kill(getpid(), SIGKILL);
    }
    for (;;) {
        (void)pause();
    }
}

/* --- the tests -------------------------------------------------------------------------------- */

typedef struct {
    DaemonFixture base;
    DinvEngine *engine;
    char *version; /* what `ready` said */
} Fixture;

static void start(Fixture *fixture, uint32_t deadline_ms);

static void on_ready(void *user, const char *version) {
    Fixture *fixture = user;
    g_assert_null(fixture->version);
    fixture->version = g_strdup(version);
}

static void on_failed(void *user, const char *text) {
    Fixture *fixture = user;
    g_assert_null(fixture->base.failure);
    fixture->base.failure = g_strdup(text);
    if (fixture->base.starts_again) {
        static char serve[] = "serve";
        fixture->base.command[2] = serve;
        g_clear_pointer(&fixture->version, g_free);
        (void)unlink(fixture->base.socket_path); /* as the real one does itself */
        start(fixture, 60000);
    }
}

static bool is_ready(void *user) {
    return ((Fixture *)user)->version != NULL;
}

static bool has_stopped(void *user) {
    return !dinv_engine_is_running(((Fixture *)user)->engine);
}

static void fixture_set_up(Fixture *fixture, gconstpointer data) {
    static const DinvEngineCallbacks callbacks = {on_ready, on_failed};
    daemon_fixture_init(&fixture->base, program, "--fake-dockerd", data);
    fixture->base.command[3] = fixture->base.socket_path;
    DinvEnginePlan plan = {.command = fixture->base.command,
                           .socket_path = fixture->base.socket_path};
    fixture->engine =
        dinv_engine_new(fixture->base.harness.loop, fixture->base.log, &plan, &callbacks, fixture);
    g_assert_nonnull(fixture->engine);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_free(fixture->engine);
    g_free(fixture->version);
    daemon_fixture_clear(&fixture->base);
}

static void start(Fixture *fixture, uint32_t deadline_ms) {
    static char extra[] = "extra";
    static char variable[] = "FOO=bar";
    char *arguments[] = {extra, NULL};
    char *environment[] = {variable, NULL};
    g_assert_cmpint(dinv_engine_start(fixture->engine, arguments, environment, deadline_ms), ==, 0);
    g_assert_true(dinv_engine_is_running(fixture->engine));
}

static void test_ready_and_stop(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 60000);
    harness_run_until(&fixture->base.harness, is_ready, fixture);
    g_assert_cmpstr(fixture->version, ==, "26.1.5+dfsg1");
    daemon_expect_log(&fixture->base, 40,
                      "fake dockerd: serve, FOO=bar, "
                      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    dinv_engine_signal(fixture->engine, SIGTERM);
    harness_run_until(&fixture->base.harness, has_stopped, fixture);
    g_assert_false(dinv_engine_is_running(fixture->engine));
    g_assert_null(fixture->base.failure); /* asked for, so no failure */
}

static void test_dies_at_start(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 60000);
    harness_run_until(&fixture->base.harness, has_stopped, fixture);
    g_assert_cmpstr(fixture->base.failure, ==, "dockerd exited with status 3");
    daemon_expect_log(&fixture->base, 1, "cannot do it\n");
}

static void test_dies_later(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 60000);
    harness_run_until(&fixture->base.harness, has_stopped, fixture);
    g_assert_nonnull(fixture->version);
    g_assert_cmpstr(fixture->base.failure, ==, "dockerd was killed by signal 9 (Killed)");
}

/* From within the report of its death. */
static void test_starts_again(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->base.starts_again = true;
    start(fixture, 60000);
    daemon_expect_failure(&fixture->base, "dockerd was killed by signal 9 (Killed)");
    g_assert_true(dinv_engine_is_running(fixture->engine));
    harness_run_until(&fixture->base.harness, is_ready, fixture);
    dinv_engine_signal(fixture->engine, SIGTERM);
    harness_run_until(&fixture->base.harness, has_stopped, fixture);
}

static void test_never_answers(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 200);
    daemon_expect_failure(&fixture->base, "dockerd did not answer within 0.2 s");
    g_assert_true(dinv_engine_is_running(fixture->engine));
    dinv_engine_signal(fixture->engine, SIGKILL);
    harness_run_until(&fixture->base.harness, has_stopped, fixture);
}

static void test_no_such_program(Fixture *fixture, gconstpointer data) {
    (void)data;
    static char missing[] = "/does/not/exist/dockerd";
    fixture->base.command[0] = missing;
    char *none[] = {NULL};
    g_assert_cmpint(dinv_engine_start(fixture->engine, none, none, 1000), ==, -ENOENT);
    g_assert_false(dinv_engine_is_running(fixture->engine));
}

int main(int argc, char **argv) {
    if (argc >= 4 && strcmp(argv[1], "--fake-dockerd") == 0) {
        return fake_dockerd(argv[2], argv[3]);
    }
    program = argv[0];
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        const char *mode;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"/guest/engine/ready-and-stop", "serve", test_ready_and_stop},
        {"/guest/engine/dies-at-start", "die", test_dies_at_start},
        {"/guest/engine/dies-later", "die-later", test_dies_later},
        {"/guest/engine/starts-again", "die-later", test_starts_again},
        {"/guest/engine/never-answers", "mute", test_never_answers},
        {"/guest/engine/no-such-program", "", test_no_such_program},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, tests[i].mode, fixture_set_up, tests[i].run,
                   fixture_tear_down);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * dockerd's supervision. In dockerd's place runs this program itself, called with --fake-dockerd
 * and what it is to do.
 */
#include "tests/unit/lib/guest-harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "guest/base/process.h"
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
        (void)fputs("cannot do it\n", stderr);
        return 3;
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
    Harness harness;
    DinvEngineLog *log;
    DinvEngine *engine;
    char *directory;
    char *socket_path;
    char *mode;
    char *command[5];
    char *version; /* what `ready` said */
    char *failure;
    bool starts_again; /* when it has failed */
} Fixture;

static void start(Fixture *fixture, uint32_t deadline_ms);

static void on_ready(void *user, const char *version) {
    Fixture *fixture = user;
    g_assert_null(fixture->version);
    fixture->version = g_strdup(version);
}

static void on_failed(void *user, const char *text) {
    Fixture *fixture = user;
    g_assert_null(fixture->failure);
    fixture->failure = g_strdup(text);
    if (fixture->starts_again) {
        static char serve[] = "serve";
        fixture->command[2] = serve;
        g_clear_pointer(&fixture->version, g_free);
        (void)unlink(fixture->socket_path); /* as the real one does itself */
        start(fixture, 60000);
    }
}

static bool is_ready(void *user) {
    return ((Fixture *)user)->version != NULL;
}

static bool has_failed(void *user) {
    return ((Fixture *)user)->failure != NULL;
}

static bool has_stopped(void *user) {
    return !dinv_engine_is_running(((Fixture *)user)->engine);
}

static void fixture_set_up(Fixture *fixture, gconstpointer data) {
    static const DinvEngineCallbacks callbacks = {on_ready, on_failed};
    harness_init(&fixture->harness);
    fixture->directory = g_dir_make_tmp("dinv-engine-XXXXXX", NULL);
    fixture->socket_path = g_build_filename(fixture->directory, "docker.sock", NULL);
    fixture->mode = g_strdup(data);
    g_autofree char *path = g_build_filename(fixture->directory, "log", NULL);
    fixture->log = dinv_engine_log_new(path, 65536);
    fixture->command[0] = program;
    static char flag[] = "--fake-dockerd";
    fixture->command[1] = flag;
    fixture->command[2] = fixture->mode;
    fixture->command[3] = fixture->socket_path;
    DinvEnginePlan plan = {.command = fixture->command, .socket_path = fixture->socket_path};
    fixture->engine =
        dinv_engine_new(fixture->harness.loop, fixture->log, &plan, &callbacks, fixture);
    g_assert_nonnull(fixture->engine);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_free(fixture->engine);
    dinv_engine_log_free(fixture->log);
    (void)unlink(fixture->socket_path);
    g_autofree char *path = g_build_filename(fixture->directory, "log", NULL);
    (void)unlink(path);
    g_assert_cmpint(rmdir(fixture->directory), ==, 0);
    g_free(fixture->directory);
    g_free(fixture->socket_path);
    g_free(fixture->mode);
    g_free(fixture->version);
    g_free(fixture->failure);
    harness_clear(&fixture->harness);
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
    harness_run_until(&fixture->harness, is_ready, fixture);
    g_assert_cmpstr(fixture->version, ==, "26.1.5+dfsg1");
    g_autofree char *text = dinv_engine_log_get_tail(fixture->log, 40, 4096);
    g_assert_cmpstr(text, ==,
                    "fake dockerd: serve, FOO=bar, "
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    dinv_engine_signal(fixture->engine, SIGTERM);
    harness_run_until(&fixture->harness, has_stopped, fixture);
    g_assert_false(dinv_engine_is_running(fixture->engine));
    g_assert_null(fixture->failure); /* asked for, so no failure */
}

static void test_dies_at_start(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 60000);
    harness_run_until(&fixture->harness, has_stopped, fixture);
    g_assert_cmpstr(fixture->failure, ==, "dockerd exited with status 3");
    g_autofree char *text = dinv_engine_log_get_tail(fixture->log, 1, 4096);
    g_assert_cmpstr(text, ==, "cannot do it\n");
}

static void test_dies_later(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 60000);
    harness_run_until(&fixture->harness, has_stopped, fixture);
    g_assert_nonnull(fixture->version);
    g_assert_cmpstr(fixture->failure, ==, "dockerd was killed by signal 9 (Killed)");
}

/* From within the report of its death. */
static void test_starts_again(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->starts_again = true;
    start(fixture, 60000);
    harness_run_until(&fixture->harness, has_failed, fixture);
    g_assert_cmpstr(fixture->failure, ==, "dockerd was killed by signal 9 (Killed)");
    g_assert_true(dinv_engine_is_running(fixture->engine));
    harness_run_until(&fixture->harness, is_ready, fixture);
    dinv_engine_signal(fixture->engine, SIGTERM);
    harness_run_until(&fixture->harness, has_stopped, fixture);
}

static void test_never_answers(Fixture *fixture, gconstpointer data) {
    (void)data;
    start(fixture, 200);
    harness_run_until(&fixture->harness, has_failed, fixture);
    g_assert_cmpstr(fixture->failure, ==, "dockerd did not answer within 0.2 s");
    g_assert_true(dinv_engine_is_running(fixture->engine));
    dinv_engine_signal(fixture->engine, SIGKILL);
    harness_run_until(&fixture->harness, has_stopped, fixture);
}

static void test_no_such_program(Fixture *fixture, gconstpointer data) {
    (void)data;
    static char missing[] = "/does/not/exist/dockerd";
    fixture->command[0] = missing;
    char *none[] = {NULL};
    g_assert_cmpint(dinv_engine_start(fixture->engine, none, none, 1000), ==, -ENOENT);
    g_assert_false(dinv_engine_is_running(fixture->engine));
}

static void test_process_descriptors(void) {
    /* A child gets its three descriptors and nothing else, whatever is open here. */
    int leak = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    static char shell[] = "sh";
    static char flag[] = "-c";
    static char script[] = "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0";
    static char path[] = DINV_DEFAULT_PATH;
    char *argv[] = {shell, flag, script, NULL};
    char *environment[] = {path, NULL};
    DinvProcessOptions options = {.argv = argv,
                                  .environment = environment,
                                  .stdin_fd = -1,
                                  .stdout_fd = ends[1],
                                  .stderr_fd = -1};
    pid_t pid = 0;
    g_assert_cmpint(dinv_process_start(&options, &pid), ==, 0);
    close(ends[1]);
    GString *text = g_string_new(NULL);
    char bytes[256];
    ssize_t len;
    while ((len = read(ends[0], bytes, sizeof bytes)) > 0) {
        g_string_append_len(text, bytes, len);
    }
    int wait_status = 0;
    g_assert_cmpint(waitpid(pid, &wait_status, 0), ==, pid);
    g_assert_cmpint(wait_status, ==, 0);
    /* 3 is the directory that ls reads. */
    g_assert_cmpstr(text->str, ==, "0 1 2 3 /dev/null\n");
    g_string_free(text, TRUE);
    close(ends[0]);
    close(leak);
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
    g_test_add_func("/guest/process/descriptors", test_process_descriptors);
    return g_test_run();
}

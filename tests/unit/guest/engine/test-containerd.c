/* SPDX-License-Identifier: MIT */
/*
 * containerd's life. In its place runs this program itself, called with --fake-containerd, what it
 * is to do, and the configuration that was written for it.
 */
#include "tests/unit/lib/guest-daemon.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "guest/base/unix-socket.h"
#include "guest/engine/containerd.h"

static char *program; /* argv[0] of the test */

/* --- in containerd's place -------------------------------------------------------------------- */

static int fake_containerd(const char *mode, const char *config_path) {
    g_autofree char *config = NULL;
    if (!g_file_get_contents(config_path, &config, NULL, NULL)) {
        return 70;
    }
    printf("fake containerd: FOO=%s\n", getenv("FOO"));
    (void)fflush(stdout);
    if (strcmp(mode, "die") == 0) {
        return daemon_die_at_start();
    }
    const char *address = strstr(config, "address = \"") + strlen("address = \"");
    g_autofree char *path = g_strndup(address, strcspn(address, "\""));
    (void)unlink(path); /* as the real one does itself */
    int listener = harness_listen(path);
    if (listener < 0) {
        return 71;
    }
    /* The first client wants to know whether it answers, the second is the test. */
    (void)close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    (void)close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    return 4;
}

/* --- the tests -------------------------------------------------------------------------------- */

typedef struct {
    DaemonFixture base;
    DinvEngineContainerd *containerd;
    char *config_path;
    guint answers;
} Fixture;

static const DinvContainerdConfiguration plain = {.level = NULL};

static int start(Fixture *fixture, const DinvContainerdConfiguration *logging) {
    static char variable[] = "FOO=bar";
    char *environment[] = {variable, NULL};
    return dinv_engine_containerd_start(fixture->containerd, environment, logging);
}

static void on_answers(void *user) {
    Fixture *fixture = user;
    g_assert_true(dinv_engine_containerd_answers(fixture->containerd));
    fixture->answers++;
}

static void on_failed(void *user, const char *text) {
    Fixture *fixture = user;
    g_assert_null(fixture->base.failure);
    g_assert_false(dinv_engine_containerd_answers(fixture->containerd));
    fixture->base.failure = g_strdup(text);
    if (fixture->base.starts_again) {
        g_assert_cmpint(start(fixture, &plain), ==, 0);
    }
}

static bool answers_once(void *user) {
    return ((Fixture *)user)->answers == 1;
}

static bool answers_twice(void *user) {
    return ((Fixture *)user)->answers == 2;
}

static void set_up(Fixture *fixture, gconstpointer data) {
    static const DinvEngineContainerdCallbacks callbacks = {on_answers, on_failed};
    daemon_fixture_init(&fixture->base, program, "--fake-containerd", data);
    fixture->config_path = scratch_path(&fixture->base.scratch, "config");
    fixture->base.command[3] = fixture->config_path;
    DinvEngineContainerdPlan plan = {.command = fixture->base.command,
                                     .config_path = fixture->config_path,
                                     .socket_path = fixture->base.socket_path};
    fixture->containerd = dinv_engine_containerd_new(fixture->base.harness.loop, fixture->base.log,
                                                     &plan, &callbacks, fixture);
    g_assert_nonnull(fixture->containerd);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_containerd_free(fixture->containerd);
    g_free(fixture->config_path);
    daemon_fixture_clear(&fixture->base);
}

/* The fake one ends, and that is a failure, as nobody knows that it was asked to. */
static void end(Fixture *fixture) {
    int fd = dinv_unix_socket_connect(fixture->base.socket_path);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_clear_pointer(&fixture->base.failure, g_free);
    daemon_expect_failure(&fixture->base, "containerd exited with status 4");
}

static void test_answers(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_cmpint(start(fixture, &plain), ==, 0);
    g_assert_false(dinv_engine_containerd_answers(fixture->containerd));
    harness_run_until(&fixture->base.harness, answers_once, fixture);
    daemon_expect_log(&fixture->base, 40, "fake containerd: FOO=bar\n");
    end(fixture);
}

static void test_dies_at_start(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_cmpint(start(fixture, &plain), ==, 0);
    daemon_expect_failure(&fixture->base, "containerd exited with status 3");
    g_assert_cmpuint(fixture->answers, ==, 0);
    daemon_expect_log(&fixture->base, 1, "cannot do it\n");
}

/* From within the report of its death; the socket of the dead one is still there. */
static void test_starts_again(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_cmpint(start(fixture, &plain), ==, 0);
    harness_run_until(&fixture->base.harness, answers_once, fixture);
    fixture->base.starts_again = true;
    end(fixture);
    fixture->base.starts_again = false;
    harness_run_until(&fixture->base.harness, answers_twice, fixture);
    end(fixture);
}

static void test_no_such_program(Fixture *fixture, gconstpointer data) {
    (void)data;
    static char missing[] = "/does/not/exist/containerd";
    fixture->base.command[0] = missing;
    g_assert_cmpint(start(fixture, &plain), ==, -ENOENT);
    fixture->base.command[0] = program;
}

static void test_configuration(Fixture *fixture, gconstpointer data) {
    (void)data;
    const DinvContainerdConfiguration logging = {"debug", true};
    g_autofree char *text = NULL;
    struct stat status;
    g_assert_cmpint(start(fixture, &logging), ==, 0);
    harness_run_until(&fixture->base.harness, daemon_has_failed, fixture);
    g_assert_true(g_file_get_contents(fixture->config_path, &text, NULL, NULL));
    g_assert_cmpint(stat(fixture->config_path, &status), ==, 0);
    g_assert_cmphex(status.st_mode & 0777, ==, 0600);
    g_assert_nonnull(strstr(text, "\n  level = \"debug\"\n  format = \"json\"\n"));
    g_assert_nonnull(strstr(text, "\nroot = \"/var/lib/docker/containerd/daemon\"\n"));
    g_clear_pointer(&text, g_free);
    g_clear_pointer(&fixture->base.failure, g_free);
    g_assert_cmpint(start(fixture, &plain), ==, 0);
    harness_run_until(&fixture->base.harness, daemon_has_failed, fixture);
    g_assert_true(g_file_get_contents(fixture->config_path, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "\n  level = \"\"\n  format = \"text\"\n"));
}

int main(int argc, char **argv) {
    if (argc >= 4 && strcmp(argv[1], "--fake-containerd") == 0) {
        return fake_containerd(argv[2], argv[3]);
    }
    program = argv[0];
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        const char *mode;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"/guest/containerd/answers", "serve", test_answers},
        {"/guest/containerd/dies-at-start", "die", test_dies_at_start},
        {"/guest/containerd/starts-again", "serve", test_starts_again},
        {"/guest/containerd/no-such-program", "", test_no_such_program},
        {"/guest/containerd/configuration", "die", test_configuration},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, tests[i].mode, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}

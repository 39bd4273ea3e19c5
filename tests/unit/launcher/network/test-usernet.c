/* SPDX-License-Identifier: MIT */
/*
 * The client of dinv-usernet, with a dinv-usernet that is this program itself (play_usernet()): its
 * answers, its death, and what comes back after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "launcher/base/log.h"
#include "launcher/network/usernet.h"
#include "tests/unit/lib/log-capture.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

/* What the process that is played does with these ports. */
enum {
    PORT_TAKEN = 98,  /* refuses it */
    PORT_SILENT = 99, /* answers only if the variable FAKE_MARK names a file; makes it if not */
    PORT_DEADLY = 13, /* dies of it */
    FAKE_FORWARDS_MAX = 64,
};

/* ---- the process ---- */

static DinvUsernetReply played[FAKE_FORWARDS_MAX];
static guint played_count;

static void say(const DinvUsernetReply *reply) {
    char text[DINV_USERNET_MESSAGE_MAX + 1];
    int len = dinv_usernet_reply_encode(reply, text);
    (void)!send(DINV_NETWORK_USERNET_CONTROL_FD, text, (size_t)len, 0);
}

static void play_add(const DinvUsernetRequest *request) {
    DinvUsernetReply reply = {.type = DINV_USERNET_OK, .id = request->id};
    const char *mark = g_getenv("FAKE_MARK");
    if (request->endpoint.port == PORT_TAKEN) {
        reply.type = DINV_USERNET_ERROR;
        reply.error = EADDRINUSE;
        g_strlcpy(reply.text, "it is taken", sizeof reply.text);
    } else if (request->endpoint.port == PORT_DEADLY) {
        (void)fputs("something broke\nbadly\n", stderr);
        _exit(3);
    } else if (request->endpoint.port == PORT_SILENT && !g_file_test(mark, G_FILE_TEST_EXISTS)) {
        (void)g_creat(mark, 0600);
        return;
    } else {
        played[played_count++] = (DinvUsernetReply){.type = DINV_USERNET_FORWARD,
                                                    .endpoint = request->endpoint,
                                                    .guest_port = request->guest_port,
                                                    .connections = 2};
    }
    say(&reply);
}

static void play_remove(const DinvUsernetRequest *request) {
    for (guint i = 0; i < played_count; i++) {
        if (dinv_usernet_endpoint_equal(&played[i].endpoint, &request->endpoint)) {
            played[i] = played[--played_count];
            say(&(DinvUsernetReply){.type = DINV_USERNET_OK, .id = request->id});
            return;
        }
    }
    say(&(DinvUsernetReply){.type = DINV_USERNET_ERROR,
                            .id = request->id,
                            .error = ENOENT,
                            .text = "there is no such forward"});
}

static void play_list(guint32 id) {
    for (guint i = 0; i < played_count; i++) {
        played[i].id = id;
        say(&played[i]);
    }
    say(&(DinvUsernetReply){.type = DINV_USERNET_OK, .id = id});
}

/* Both sockets have to be what they are to be, and the arguments. */
static gboolean is_set_up(char **argv) {
    const char *const expected[] = {"--frames",  "3",           "--control", "4",
                                    "--network", "10.0.7.0/24", "--mtu",     "9000"};
    int type = 0;
    socklen_t len = sizeof type;
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        if (g_strcmp0(argv[i + 1], expected[i]) != 0) {
            return FALSE;
        }
    }
    return getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM &&
           getsockopt(4, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static int play_usernet(char **argv) {
    const char *role = g_getenv("FAKE_USERNET");
    char message[DINV_USERNET_MESSAGE_MAX];
    ssize_t len;
    if (!is_set_up(argv)) {
        return 5;
    }
    if (strcmp(role, "garbage") == 0) {
        (void)!send(DINV_NETWORK_USERNET_CONTROL_FD, "\033[H ready?", 10, 0);
        (void)pause();
    }
    say(&(DinvUsernetReply){.type = DINV_USERNET_READY,
                            .version = strcmp(role, "future") == 0 ? 2 : 1,
                            .features = "seccomp,landlock"});
    while ((len = recv(DINV_NETWORK_USERNET_CONTROL_FD, message, sizeof message, 0)) > 0) {
        DinvUsernetRequest request;
        guint32 id = 0;
        if (dinv_usernet_request_decode(message, (size_t)len, &request, &id) < 0) {
            return 6;
        }
        if (request.verb == DINV_USERNET_ADD) {
            play_add(&request);
        } else if (request.verb == DINV_USERNET_REMOVE) {
            play_remove(&request);
        } else if (request.verb == DINV_USERNET_LIST) {
            play_list(request.id);
        }
    }
    return 0;
}

/* ---- the fixture ---- */

typedef struct {
    Scratch scratch;
    LogCapture log;
    DinvNetworkUsernetPlan plan;
    DinvNetworkUsernet *usernet;
    guint losses;
    char *loss;
    guint answers;
    GError *error; /* of the last answer */
} Fixture;

static char *program;

static void on_lost(const char *text, gpointer user) {
    Fixture *fixture = user;
    fixture->losses++;
    g_free(fixture->loss);
    fixture->loss = g_strdup(text);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    scratch_make(&fixture->scratch);
    g_autofree char *mark = scratch_path(&fixture->scratch, "mark");
    g_setenv("FAKE_MARK", mark, TRUE);
    g_setenv("FAKE_USERNET", data != NULL ? data : "serve", TRUE);
    fixture->plan =
        (DinvNetworkUsernetPlan){.program = program, .network = "10.0.7.0/24", .mtu = 9000};
    log_capture_begin(&fixture->log);
    dinv_log_start(DINV_LOG_INFO);
    fixture->usernet = dinv_network_usernet_new(&fixture->plan, on_lost, fixture, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_network_usernet_free(fixture->usernet);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    log_capture_end(&fixture->log);
    g_free(fixture->loss);
    g_clear_error(&fixture->error);
    scratch_remove(&fixture->scratch);
}

static void on_answer(GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user) {
    Fixture *fixture = user;
    g_clear_error(&fixture->error);
    gboolean good = dinv_network_usernet_finish(result, &fixture->error);
    g_assert_true(good == (fixture->error == NULL));
    fixture->answers++;
}

static DinvUsernetEndpoint endpoint(guint16 port) {
    return (DinvUsernetEndpoint){.address = {127, 0, 0, 1}, .port = port};
}

/* Asks, without waiting. */
static void ask_add(Fixture *fixture, guint16 port) {
    DinvUsernetEndpoint at = endpoint(port);
    dinv_network_usernet_add(fixture->usernet, &at, 80, on_answer, fixture);
}

static void add(Fixture *fixture, guint16 port, int expected) {
    guint before = fixture->answers;
    ask_add(fixture, port);
    wait_until(fixture->answers == before + 1);
    g_assert_cmpint(fixture->error != NULL ? fixture->error->code : 0, ==, expected);
}

static void remove_port(Fixture *fixture, guint16 port, int expected) {
    DinvUsernetEndpoint at = endpoint(port);
    guint before = fixture->answers;
    dinv_network_usernet_remove(fixture->usernet, &at, on_answer, fixture);
    wait_until(fixture->answers == before + 1);
    g_assert_cmpint(fixture->error != NULL ? fixture->error->code : 0, ==, expected);
}

static void on_list(GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user) {
    GString **text = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) list = dinv_network_usernet_list_finish(result, &error);
    g_assert_no_error(error);
    GString *lines = g_string_new(NULL);
    for (guint i = 0; i < list->len; i++) {
        const DinvUsernetReply *one = &g_array_index(list, DinvUsernetReply, i);
        g_assert_cmpuint(one->connections, ==, 2);
        g_string_append_printf(lines, "%u-%u ", one->endpoint.port, one->guest_port);
    }
    *text = lines;
}

/* The process's forwards: "8080-80 8081-80 ". */
static void expect_list(Fixture *fixture, const char *expected) {
    GString *text = NULL;
    dinv_network_usernet_list(fixture->usernet, on_list, &text);
    wait_until(text != NULL);
    g_assert_cmpstr(text->str, ==, expected);
    g_string_free(text, TRUE);
}

/* Kills the process, and waits for the next one, if there is to be one. */
static void kill_process(Fixture *fixture) {
    GPid pid = dinv_network_usernet_get_pid(fixture->usernet);
    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    wait_until(dinv_network_usernet_get_pid(fixture->usernet) != pid);
}

static void expect_logged(Fixture *fixture, const char *text, guint count) {
    g_assert_cmpuint(log_capture_count(&fixture->log, text), ==, count);
}

/* ---- the tests ---- */

static void test_forwards(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int fd = dinv_network_usernet_get_machine_fd(fixture->usernet);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    add(fixture, 8080, 0);
    add(fixture, 8081, 0);
    add(fixture, PORT_TAKEN, EADDRINUSE);
    g_assert_cmpstr(fixture->error->message, ==, "it is taken");
    expect_list(fixture, "8080-80 8081-80 ");
    remove_port(fixture, 8080, 0);
    remove_port(fixture, 8080, ENOENT);
    expect_list(fixture, "8081-80 ");
    g_assert_cmpstr(dinv_network_usernet_get_features(fixture->usernet), ==, "seccomp,landlock");
}

/* More than the socket takes at once, in the order of the calls. */
static void test_many_at_once(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    GPid pid = dinv_network_usernet_get_pid(fixture->usernet);
    g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
    for (guint i = 0; i < 8000; i++) {
        ask_add(fixture, PORT_TAKEN);
    }
    ask_add(fixture, 8080);
    g_assert_cmpint(kill(pid, SIGCONT), ==, 0);
    wait_until(fixture->answers == 8001);
    g_assert_no_error(fixture->error);
    expect_list(fixture, "8080-80 ");
}

/* The new process has what the old one had, and no more. */
static void test_started_again(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int fd = dinv_network_usernet_get_machine_fd(fixture->usernet);
    add(fixture, 8080, 0);
    add(fixture, 8081, 0);
    add(fixture, 8082, 0);
    remove_port(fixture, 8081, 0);
    kill_process(fixture);
    expect_list(fixture, "8080-80 8082-80 ");
    g_assert_cmpint(dinv_network_usernet_get_machine_fd(fixture->usernet), ==, fd);
    remove_port(fixture, 8080, 0);
    expect_list(fixture, "8082-80 ");
    g_assert_cmpuint(fixture->losses, ==, 0);
    expect_logged(fixture, "was killed by signal 9; starting it again", 1);
    expect_logged(fixture, "warning", 1);
}

static gboolean on_tick(gpointer user G_GNUC_UNUSED) {
    return G_SOURCE_CONTINUE;
}

/* What the old one has not answered, the new one does. */
static void test_call_under_way(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *mark = scratch_path(&fixture->scratch, "mark");
    ask_add(fixture, PORT_SILENT);
    guint tick = g_timeout_add(1, on_tick, NULL); /* so that the loop looks again */
    wait_until(g_file_test(mark, G_FILE_TEST_EXISTS));
    g_source_remove(tick);
    kill_process(fixture);
    wait_until(fixture->answers == 1);
    g_assert_no_error(fixture->error);
    g_autofree char *expected = g_strdup_printf("%u-80 ", PORT_SILENT);
    expect_list(fixture, expected);
}

static void test_lost(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    add(fixture, 8080, 0);
    kill_process(fixture);
    expect_list(fixture, "8080-80 ");
    add(fixture, PORT_DEADLY, ENETDOWN);
    g_assert_cmpuint(fixture->losses, ==, 1);
    g_assert_cmpstr(fixture->loss, ==,
                    "dinv-usernet, which is the guest's network, ended with status 3: something "
                    "broke\nbadly");
    g_assert_cmpint(dinv_network_usernet_get_pid(fixture->usernet), ==, 0);
    add(fixture, 8081, ENETDOWN);
    /* Each line of its stderr is in the log. */
    expect_logged(fixture, "network: something broke\n", 1);
    expect_logged(fixture, "network: badly\n", 1);
}

static void test_speaks_nonsense(Fixture *fixture, gconstpointer data) {
    wait_until(fixture->losses == 1);
    g_assert_nonnull(strstr(fixture->loss, strcmp(data, "garbage") == 0
                                               ? "it said what is no answer: \""
                                               : "it speaks version 2 of the protocol, not 1"));
}

/* Nobody is to find a port forwarded that was said to have failed. */
static void test_no_answer(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    add(fixture, PORT_SILENT, ETIMEDOUT);
    add(fixture, 8080, 0);
    kill_process(fixture);
    expect_list(fixture, "8080-80 ");
}

static void test_missing_program(void) {
    const DinvNetworkUsernetPlan plan = {
        .program = "/nowhere/dinv-usernet", .network = "10.0.7.0/24", .mtu = 9000};
    g_autoptr(GError) error = NULL;
    g_assert_null(dinv_network_usernet_new(&plan, on_lost, NULL, &error));
    g_assert_nonnull(strstr(error->message, "(DINV_USERNET=/nowhere/dinv-usernet): "));
}

/* The callback comes even when it is freed before the answer. */
static void test_free_meanwhile(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    ask_add(fixture, 8080);
    dinv_network_usernet_free(g_steal_pointer(&fixture->usernet));
    wait_until(fixture->answers == 1);
    g_assert_error(fixture->error, DINV_NETWORK_USERNET_ERROR, ECANCELED);
}

int main(int argc, char **argv) {
    program = g_file_read_link("/proc/self/exe", NULL);
    if (argc > 2 && strcmp(argv[1], "--frames") == 0) {
        return play_usernet(argv);
    }
    g_test_init(&argc, &argv, NULL);
#define TEST(name, data, function)                                                                 \
    g_test_add("/launcher/network-usernet/" name, Fixture, data, set_up, function, tear_down)
    TEST("forwards", NULL, test_forwards);
    TEST("many-at-once", NULL, test_many_at_once);
    TEST("started-again", NULL, test_started_again);
    TEST("call-under-way", NULL, test_call_under_way);
    TEST("lost", NULL, test_lost);
    TEST("garbage", "garbage", test_speaks_nonsense);
    TEST("future", "future", test_speaks_nonsense);
    TEST("no-answer", NULL, test_no_answer);
    g_test_add_func("/launcher/network-usernet/missing-program", test_missing_program);
    TEST("free-meanwhile", NULL, test_free_meanwhile);
    int status = g_test_run();
    g_free(program);
    return status;
}

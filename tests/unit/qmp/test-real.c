/* SPDX-License-Identifier: MIT */
/* The QMP client and a real QEMU. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/lib/qmp-fixture.h"

static GPid start_qemu(const char *qemu, int fd) {
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
    GPid pid = 0;
    g_autoptr(GError) error = NULL;
    g_assert_true(g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                                   NULL, NULL, -1, -1, -1, &fd, &(int){3}, 1, &pid,
                                                   NULL, NULL, NULL, &error));
    g_assert_no_error(error);
    return pid;
}

static void ask_qemu(Fixture *fixture) {
    call(fixture, "query-status"); /* before the greeting: queued */
    wait_until(fixture->replies == 1);
    g_assert_no_error(fixture->error);
    g_assert_nonnull(strstr(fixture->result, "\"status\":\"running\""));
    struct json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, "command-line", json_object_new_string("info name"));
    dinv_qmp_client_call(fixture->client, "human-monitor-command", arguments, FAR_MS, on_reply,
                         fixture);
    wait_until(fixture->replies == 2);
    g_assert_cmpstr(fixture->result, ==, "\"probe\\r\\n\"");
    call(fixture, "no-such-command");
    wait_until(fixture->replies == 3);
    g_assert_error(fixture->error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND);
    call(fixture, "query-qmp-schema"); /* some 200 KB in one line */
    wait_until(fixture->replies == 4);
    g_assert_no_error(fixture->error);
    g_assert_cmpuint(strlen(fixture->result), >, 100000);
}

static void test_real_qemu(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
    if (qemu == NULL) {
        g_assert_cmpstr(g_getenv("DINV_MUST_WORK"), !=, "1");
        g_test_skip("qemu-system-x86_64 is not installed");
        return;
    }
    /* QEMU plays the peer. */
    GPid pid = start_qemu(qemu, fixture->peer);
    (void)close(fixture->peer);
    fixture->peer = -1;
    ask_qemu(fixture);
    call(fixture, "quit");
    wait_until(fixture->disconnects == 1);
    g_assert_cmpuint(fixture->replies, ==, 5);
    g_assert_no_error(fixture->error);
    g_assert_error(fixture->end, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED);
    g_assert_nonnull(
        strstr(fixture->events->str, "SHUTDOWN{\"guest\":false,\"reason\":\"host-qmp-quit\"};"));
    int status = 0;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/qmp/real/qemu", Fixture, NULL, set_up, test_real_qemu, tear_down);
    return g_test_run();
}

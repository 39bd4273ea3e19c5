/* SPDX-License-Identifier: MIT */
/* A vm from its start to its end when all goes well, a start that fails, and what is freed when. */
#include "tests/unit/lib/machine-fake.h"

/* Whether the other side has closed. */
static gboolean is_at_end(int fd) {
    char byte;
    return recv(fd, &byte, 1, 0) == 0;
}

/* The port of the DNS forwarder, which the guest is told. */
static int resolver_port(struct json_object *configure) {
    struct json_object *network = json_object_object_get(configure, "network");
    struct json_object *resolver = json_object_object_get(network, "resolver");
    return json_object_get_int(json_object_object_get(resolver, "port"));
}

/* --- From start to stop --- */

static void test_whole_life(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    int early = vm_connect_docker(fixture);
    g_assert_null(dinv_vm_get_relay(fixture->vm));
    vm_reach(fixture, DINV_VM_CONFIGURING);
    struct json_object *request = fake_hears("configure");
    g_assert_cmpint(json_object_get_int(json_object_object_get(request, "protocol")), ==, 1);
    g_assert_cmpint(resolver_port(request), >=, 61000);
    fake_answers(request, "\"ok\":true");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_ENGINE);
    g_assert_cmpuint(fixture->readies, ==, 0);
    fake_says(FAKE_READY);
    g_assert_cmpuint(fixture->readies, ==, 1);
    /* The client that came before the engine has its stream now. */
    DinvRelayStats stats;
    dinv_vm_relay_get_stats(dinv_vm_get_relay(fixture->vm), &stats);
    g_assert_cmpuint(stats.streams, ==, 1);
    dinv_vm_stop(fixture->vm, 4000);
    request = fake_hears("shutdown");
    g_assert_cmpint(json_object_get_int(json_object_object_get(request, "deadline_ms")), ==, 3000);
    fake_answers(request, "\"ok\":true");
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS));
    fake_says("{\"event\":\"exit\",\"clean\":true}");
    g_assert_cmpuint(fixture->stops, ==, 0);
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_false(fixture->failed);
    g_assert_cmpuint(fake->quits, ==, 0);
    vm_assert_logged(fixture, "ready: Docker 26.1.5");
    vm_assert_logged(fixture, "stopped; the data disk is clean");
    wait_until(is_at_end(early));
    close(early);
}

/* The reply to `configure` comes behind `ready`; hello and ready come twice. */
static void test_odd_order(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake_says(FAKE_READY);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_BOOTING);
    vm_reach(fixture, DINV_VM_CONFIGURING);
    fake_says(FAKE_HELLO);
    fake_says(FAKE_READY);
    fake_says(FAKE_READY);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_READY);
    g_assert_cmpuint(fixture->readies, ==, 1);
    fake_answers(fake_hears("configure"), "\"error\":\"too late\"");
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_READY);
}

/* With a request, a client and a status under way. */
static void on_any_status(struct json_object *status, gpointer user) {
    guint *answers = user;
    g_assert_nonnull(status);
    (*answers)++;
}

static void test_free(VmFixture *fixture, gconstpointer data) {
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    guint answers = 0;
    int client = -1;
    if (state > DINV_VM_STARTING) {
        vm_start(fixture);
        client = vm_connect_docker(fixture);
        vm_reach(fixture, MIN(state, DINV_VM_READY));
        run_loop();
    }
    if (state == DINV_VM_STOPPING) {
        dinv_vm_get_status(fixture->vm, on_any_status, &answers);
        dinv_vm_stop(fixture->vm, 1000000);
    }
    dinv_vm_get_status(fixture->vm, on_any_status, &answers);
    g_clear_pointer(&fixture->vm, dinv_vm_free);
    g_assert_cmpuint(answers, ==, state == DINV_VM_STOPPING ? 2 : 1);
    if (client >= 0) {
        close(client);
    }
}

/* --- A start that fails --- */

static void assert_start_fails(VmFixture *fixture, const char *said) {
    g_autoptr(GError) error = NULL;
    fixture->endpoints = dinv_vm_endpoints_new(&fixture->config, &error);
    g_assert_no_error(error);
    g_assert_false(dinv_vm_start(fixture->vm, fixture->endpoints, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, said));
    run_loop();
    g_assert_cmpuint(fixture->stops, ==, 0);
    g_assert_true(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS)); /* for its owner */
}

static void test_start_without_machine(VmFixture *fixture, gconstpointer data) {
    (void)data;
    fake_refuses_start = TRUE;
    assert_start_fails(fixture, "no machine today");
    fake_refuses_start = FALSE;
}

static void test_start_without_network(VmFixture *fixture, gconstpointer data) {
    (void)data;
    fake_refuses_usernet = TRUE;
    assert_start_fails(fixture, "no network today");
    fake_refuses_usernet = FALSE;
}

static void test_start_without_console(VmFixture *fixture, gconstpointer data) {
    (void)data;
    g_free(fixture->config.state_dir);
    fixture->config.state_dir = g_strdup("/no/such/directory");
    assert_start_fails(fixture, "/no/such/directory/console.log");
    g_assert_null(fake); /* the machine was killed */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/vm/" name, VmFixture, NULL, vm_set_up, function, vm_tear_down)
    ADD("whole-life", test_whole_life);
    ADD("odd-order", test_odd_order);
    vm_add_by_state("free", DINV_VM_STARTING, DINV_VM_STOPPING, test_free);
    ADD("start-without-machine", test_start_without_machine);
    ADD("start-without-network", test_start_without_network);
    ADD("start-without-console", test_start_without_console);
    return g_test_run();
}

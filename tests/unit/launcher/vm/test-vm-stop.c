/* SPDX-License-Identifier: MIT */
/* The ways to stop a vm: in order, at once, after a lost share, and what counts as asked twice. */
#include "tests/unit/lib/machine-fake.h"

static void test_stop(VmFixture *fixture, gconstpointer data) {
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    vm_start(fixture);
    vm_reach(fixture, state);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    /* Before its hello the guest cannot be asked. */
    g_assert_cmpuint(fake->quits, ==, state == DINV_VM_BOOTING ? 1 : 0);
    if (state == DINV_VM_CONFIGURING) {
        json_object_put(fake_hears("configure"));
    }
    if (state != DINV_VM_BOOTING) {
        json_object_put(fake_hears("shutdown"));
    }
    /* What the guest was about to say leads nowhere now. */
    fake_says(FAKE_HELLO);
    fake_says(FAKE_READY);
    fake_says("{\"event\":\"failed\",\"what\":\"dockerd\",\"text\":\"stopped\"}");
    dinv_vm_stop(fixture->vm, 1000000);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, state == DINV_VM_BOOTING ? "stopped\n" : "journal is replayed");
}

/* docs/mounts.md promises an ordered stop when a share is lost. The owner's stop that comes in the
 * course of it, by a signal or by the end of a command, is his first and does not cut it short. */
static void test_share_lost(VmFixture *fixture, gconstpointer data) {
    DinvVmState state = (DinvVmState)GPOINTER_TO_INT(data);
    vm_start(fixture);
    vm_reach(fixture, state);
    fake->callbacks.lost(fake, "virtiofsd was killed", fake->user);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    if (state == DINV_VM_CONFIGURING) {
        json_object_put(fake_hears("configure"));
    }
    struct json_object *request = fake_hears("shutdown");
    g_assert_true(json_object_get_boolean(json_object_object_get(request, "abandon_shares")));
    json_object_put(request);
    fake->callbacks.lost(fake, "virtiofsd was killed", fake->user);
    dinv_vm_stop(fixture->vm, 1000000);
    run_loop();
    g_assert_cmpuint(fake->quits, ==, 0);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_cmpuint(fixture->stops, ==, 1);
    g_assert_true(fixture->failed);
    g_assert_cmpuint(vm_count_log(fixture, "the mount is lost"), ==, 1);
}

/* The guest cannot be asked yet, and a lost share ends it at once. */
static void test_share_lost_early(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    fake->callbacks.lost(fake, "virtiofsd was killed", fake->user);
    dinv_vm_stop(fixture->vm, 1000000);
    dinv_vm_stop(fixture->vm, 1000000);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
}

/* So it is with the network, but for the mounts, which are all served. */
static void test_network_lost(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    fake_usernet->lost("dinv-usernet was killed", fake_usernet->user);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STOPPING);
    struct json_object *request = fake_hears("shutdown");
    g_assert_null(json_object_object_get(request, "abandon_shares"));
    json_object_put(request);
    g_assert_cmpuint(fake->quits, ==, 0);
    fake_exit(DINV_MACHINE_EXIT_POWEROFF, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "dinv-usernet was killed; the network is lost, stopping the guest");
    vm_assert_logged(fixture, "stopped; the data disk");
}

/* A port that was free when it was looked at, and is not any more. */
static void test_declared_port_taken(VmFixture *fixture, gconstpointer data) {
    const DinvPortForward web = {DINV_PROTOCOL_TCP, 80, 80};
    (void)data;
    g_array_append_val(fixture->config.ports, web);
    fake_refuses_forward = EADDRINUSE;
    vm_start(fixture);
    run_loop();
    fake_refuses_forward = 0;
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_true(fixture->failed);
    vm_assert_logged(fixture, "a port of DINV_TCP_PORTS or DINV_UDP_PORTS cannot be forwarded: it "
                              "is taken");
}

static void test_stop_before_start(VmFixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_stop(fixture->vm, 1);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_STARTING);
}

static void test_stop_deadline(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_stop(fixture->vm, 1);
    wait_until(fake->quits == 1);
    dinv_vm_stop(fixture->vm, 1);
    g_assert_cmpuint(fake->quits, ==, 1);
    fake_exit(DINV_MACHINE_EXIT_QUIT, 0, "");
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, "did not power off within 0.001 s");
}

/* An accident on the way down is told with its cause, and is no failure. */
static void test_panic_while_stopping(VmFixture *fixture, gconstpointer data) {
    (void)data;
    vm_start(fixture);
    vm_reach(fixture, DINV_VM_READY);
    dinv_vm_stop(fixture->vm, 1000000);
    fake_write(FAKE_CONSOLE, "Kernel panic\n");
    fake_exit(DINV_MACHINE_EXIT_RESET, 0, "");
    g_assert_false(fixture->failed);
    vm_assert_logged(fixture, "warning: the guest's kernel panicked or rebooted");
    vm_assert_logged(fixture, "Kernel panic");
    vm_assert_logged(fixture, "journal is replayed");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/vm/" name, VmFixture, NULL, vm_set_up, function, vm_tear_down)
    vm_add_by_state("stop", DINV_VM_BOOTING, DINV_VM_READY, test_stop);
    vm_add_by_state("share-lost", DINV_VM_CONFIGURING, DINV_VM_READY, test_share_lost);
    ADD("share-lost/early", test_share_lost_early);
    ADD("network-lost", test_network_lost);
    ADD("declared-port-taken", test_declared_port_taken);
    ADD("stop-before-start", test_stop_before_start);
    ADD("stop-deadline", test_stop_deadline);
    ADD("panic-while-stopping", test_panic_while_stopping);
    return g_test_run();
}

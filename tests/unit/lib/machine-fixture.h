/* SPDX-License-Identifier: MIT */
/*
 * A machine with its plan, and what its callbacks said: shared by the tests of the QEMU machine
 * with a fake and with the real QEMU. Included once per test program.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/machine/qemu/qemu.h"
#include "tests/unit/lib/wait-until.h"

typedef struct {
    DinvConfig config;
    DinvMachinePlan plan;
    DinvMachine *machine;
    char *directory;
    guint exits;
    DinvMachineExitKind kind;
    int wait_status;
    char *message;
    gboolean free_in_exited;
    GString *pauses;
} Fixture;

static char *program; /* the QEMU of set_up() */

static void on_exited(DinvMachine *machine, const DinvMachineExit *exit, gpointer user) {
    Fixture *fixture = user;
    g_assert_cmpint(dinv_machine_get_pid(machine), ==, 0);
    fixture->exits++;
    fixture->kind = exit->kind;
    fixture->wait_status = exit->wait_status;
    g_free(fixture->message);
    fixture->message = g_strdup(exit->message);
    if (fixture->free_in_exited) {
        dinv_machine_free(g_steal_pointer(&fixture->machine));
    }
}

static void on_paused(DinvMachine *machine G_GNUC_UNUSED, gboolean paused, const char *reason,
                      gpointer user) {
    Fixture *fixture = user;
    g_string_append_printf(fixture->pauses, "%s:%s;", paused ? "paused" : "on", reason);
}

static const DinvMachineCallbacks callbacks = {.exited = on_exited, .paused = on_paused};

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->directory = g_dir_make_tmp("dinv-machine-XXXXXX", NULL);
    g_assert_nonnull(fixture->directory);
    fixture->config = (DinvConfig){.cpus = 1,
                                   .mtu = 65520,
                                   .memory_bytes = G_GUINT64_CONSTANT(64) << 20,
                                   .kernel = g_build_filename(fixture->directory, "kernel", NULL),
                                   .rootfs = g_build_filename(fixture->directory, "root,fs", NULL),
                                   .qemu = program};
    fixture->plan =
        (DinvMachinePlan){.ops = &dinv_machine_qemu,
                          .accel = DINV_MACHINE_TCG,
                          .cpus = 1,
                          .config = &fixture->config,
                          .data_image = g_build_filename(fixture->directory, "data.img", NULL)};
    fixture->pauses = g_string_new(NULL);
    fixture->machine = dinv_machine_new(&fixture->plan, &callbacks, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_machine_free(fixture->machine);
    (void)g_unlink(fixture->config.kernel);
    (void)g_unlink(fixture->config.rootfs);
    (void)g_unlink(fixture->plan.data_image);
    (void)g_rmdir(fixture->directory);
    g_free(fixture->config.kernel);
    g_free(fixture->config.rootfs);
    g_free((char *)fixture->plan.data_image);
    g_free(fixture->directory);
    g_free(fixture->message);
    g_string_free(fixture->pauses, TRUE);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

static void start(Fixture *fixture, const char *role) {
    if (role != NULL) {
        g_setenv("FAKE_QEMU", role, TRUE);
    }
    g_autoptr(GError) error = NULL;
    int network[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, network), ==, 0);
    gboolean started = dinv_machine_start(fixture->machine, network[1], &error);
    (void)close(network[0]);
    (void)close(network[1]);
    g_assert_no_error(error);
    g_assert_true(started);
    g_assert_cmpint(dinv_machine_get_pid(fixture->machine), >, 0);
}

typedef struct {
    const char *path;
    void (*test)(Fixture *fixture);
} Case;

static void run(Fixture *fixture, gconstpointer data) {
    const Case *one = data;
    one->test(fixture);
}

/* Runs the table; the program's result. */
static int run_cases(int argc, char **argv, const Case *cases, gsize count) {
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < count; i++) {
        g_test_add(cases[i].path, Fixture, &cases[i], set_up, run, tear_down);
    }
    return g_test_run();
}

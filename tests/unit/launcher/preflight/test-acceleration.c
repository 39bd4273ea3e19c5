/* SPDX-License-Identifier: MIT */
/* What runs the guest: what preflight says of KVM and of the CPU, and what the plan makes of
 * it. */
#include "tests/unit/lib/preflight-fixture.h"

static void test_auto_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_AUTO;
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, "acceleration", DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(line);
    g_assert_nonnull(strstr(line->text, "going on with emulation (TCG), which is slow"));
    g_assert_nonnull(strstr(line->remedy, "--device /dev/kvm"));
    g_assert_false(fixture->plan->machine.qemu.use_kvm);
}

static void test_kvm_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_KVM;
    assert_failed(fixture, "acceleration", "DINV_ACCEL is kvm, but ");
    g_assert_nonnull(strstr(fixture->error->message, "--device /dev/kvm"));
}

static void test_emulated_twice(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_true(run(fixture));
    g_assert_false(fixture->plan->machine.qemu.icount);
    fixture->host.is_emulated = TRUE;
    g_assert_true(run(fixture));
    g_assert_true(fixture->plan->machine.qemu.icount);
    const DinvPreflightLine *line = find_line(fixture, "acceleration", DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(line);
    g_assert_nonnull(strstr(line->text, "CPU is itself emulated"));
    g_assert_nonnull(strstr(line->remedy, "DINV_BOOT_TIMEOUT"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("acceleration/auto", test_auto_without_kvm);
    PREFLIGHT_TEST("acceleration/kvm", test_kvm_without_kvm);
    PREFLIGHT_TEST("acceleration/emulated-twice", test_emulated_twice);
    return g_test_run();
}

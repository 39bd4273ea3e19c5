/* SPDX-License-Identifier: MIT */
/* What runs the guest: what preflight says of KVM and of the CPU, and what the plan makes of
 * it. */
#include "launcher/plan/confinement.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_auto_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_AUTO;
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, "acceleration", DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(line);
    g_assert_nonnull(strstr(line->text, "going on with emulation (TCG), which is slow"));
    g_assert_nonnull(strstr(line->remedy, "--device /dev/kvm"));
    g_assert_cmpint(fixture->plan->machine.accel, ==, DINV_MACHINE_TCG);
}

static void test_kvm_without_kvm(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_KVM;
    assert_failed(fixture, "acceleration", "DINV_ACCEL is kvm, but ");
    g_assert_nonnull(strstr(fixture->error->message, "--device /dev/kvm"));
}

static void test_uml_without_uml(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_UML;
    set_text(&fixture->config->uml_kernel, scratch_path(&fixture->scratch, "linux"));
    assert_failed(fixture, "acceleration", "DINV_ACCEL is uml, but DINV_UML_KERNEL: ");
    g_assert_nonnull(strstr(fixture->error->message, "set DINV_UML_KERNEL"));
    /* That is not known before the kernel is. */
    set_text(&fixture->config->uml_kernel, find_fake_kernel());
    g_assert_true(run(fixture));
    fixture->config->uml = DINV_UML_PTRACE;
    fixture->config->cpus = 2;
    fixture->config->cpus_given = TRUE;
    assert_failed(fixture, "acceleration",
                  "DINV_ACCEL is uml, but DINV_UML=ptrace has one CPU only, and DINV_CPUS is 2");
}

/* Neither KVM nor QEMU is there, and nothing is missing. */
static void test_auto_with_uml(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->accel = DINV_ACCEL_AUTO;
    set_text(&fixture->config->uml_kernel, find_fake_kernel());
    set_text(&fixture->config->qemu, g_strdup("/nowhere/qemu"));
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, "acceleration", DINV_PREFLIGHT_OK);
    g_assert_nonnull(line);
    g_assert_true(g_str_has_prefix(line->text, "User-Mode Linux works (seccomp), and "));
    g_assert_nonnull(strstr(line->text, "is not there"));
    g_assert_nonnull(strstr(line->remedy, "--device /dev/kvm"));
    g_assert_cmpint(fixture->plan->machine.accel, ==, DINV_MACHINE_UML);
    g_assert_cmpuint(fixture->plan->machine.cpus, ==, 1);
}

/* A kernel that opens files itself is held back by Landlock; without that nothing does. */
static void test_cage(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvPlanFindings findings = {.uml.confinement = g_strdup("no_new_privs,capabilities,seccomp,"
                                                             "landlock,scope,core,descriptors")};
    g_assert_null(dinv_plan_uml_missing(&findings));
    g_assert_true(dinv_plan_uml_is_caged(&findings));
    set_text(&findings.uml.confinement, g_strdup("no_new_privs,capabilities,seccomp,core"));
    g_autofree char *missing = dinv_plan_uml_missing(&findings);
    g_assert_cmpstr(missing, ==, "descriptors, landlock, scope");
    g_assert_false(dinv_plan_uml_is_caged(&findings));
    set_text(&findings.uml.confinement, g_strdup("no_new_privs,seccomp,landlock"));
    g_assert_true(dinv_plan_uml_is_caged(&findings));
    set_text(&findings.uml.confinement, g_strdup("no_new_privs,landlock,scope,core"));
    g_assert_false(dinv_plan_uml_is_caged(&findings));
    g_free(findings.uml.confinement);

    fixture->config->accel = DINV_ACCEL_UML;
    set_text(&fixture->config->uml_kernel, find_fake_kernel());
    g_assert_true(run(fixture));
    g_autofree char *here = dinv_plan_uml_missing(&fixture->result.findings);
    gboolean found = FALSE;
    for (guint i = 0; i < fixture->result.report->lines->len; i++) {
        const DinvPreflightLine *line = fixture->result.report->lines->pdata[i];
        found = found || (strcmp(line->name, "acceleration") == 0 &&
                          strstr(line->text, "the process of User-Mode Linux is") != NULL &&
                          strstr(line->text, here != NULL ? here : " confined") != NULL);
    }
    g_assert_true(found);
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
    PREFLIGHT_TEST("acceleration/uml", test_uml_without_uml);
    PREFLIGHT_TEST("acceleration/auto-uml", test_auto_with_uml);
    PREFLIGHT_TEST("acceleration/cage", test_cage);
    PREFLIGHT_TEST("acceleration/emulated-twice", test_emulated_twice);
    return g_test_run();
}

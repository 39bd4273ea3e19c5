/* SPDX-License-Identifier: MIT */
/*
 * Whole plans against golden files, one field a line (golden/plan/NAME.plan). After a wanted
 * change: DINV_UPDATE_GOLDEN=1 writes them anew; read the difference before you commit it.
 */
#include <stdlib.h>

#include "launcher/host/network.h"
#include "launcher/machine/qemu/qemu.h"
#include "launcher/machine/uml/uml.h"
#include "tests/unit/lib/golden.h"
#include "tests/unit/lib/plan-fixture.h"

static void dump_mounts(GString *text, const GPtrArray *mounts) {
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *mount = mounts->pdata[i];
        g_string_append_printf(text, "mount %u: %s on %s, %s, %s\n", i, mount->source,
                               mount->target, mount->readonly ? "ro" : "rw",
                               mount->is_file ? "file" : "directory");
    }
}

/* Every field of the plan that follows from settings and findings. */
static char *dump(const DinvPlan *plan) {
    const DinvMachinePlan *machine = &plan->machine;
    GString *text = g_string_new(NULL);
    g_autofree char *network = dinv_engine_network_plan_to_string(plan->network);
    g_string_append_printf(text, "accel: %s, %s, %u CPUs\n",
                           dinv_machine_accel_name(machine->accel), machine->program,
                           machine->cpus);
    g_assert_true(machine->ops ==
                  (machine->accel == DINV_MACHINE_UML ? &dinv_machine_uml : &dinv_machine_qemu));
    g_string_append_printf(text, "tsc_khz: %u\n", machine->qemu.tsc_khz);
    g_string_append_printf(text, "icount: %s\n", machine->qemu.icount ? "yes" : "no");
    g_string_append_printf(text, "tcg_buffer_bytes: %" G_GUINT64_FORMAT "\n",
                           machine->qemu.tcg_buffer_bytes);
    g_string_append_printf(
        text, "virtiofsd: %s%s\n",
        machine->virtiofsd != NULL ? machine->virtiofsd->program : "none, 9p serves",
        machine->virtiofsd != NULL && machine->virtiofsd->is_of_qemu ? " (QEMU's)" : "");
    if (machine->accel == DINV_MACHINE_UML) {
        g_string_append_printf(text, "uml: %s\n", machine->uml.use_ptrace ? "ptrace" : "seccomp");
    }
    dump_mounts(text, machine->mounts);
    g_string_append_printf(text, "network: %s\n", network);
    return g_string_free(text, FALSE);
}

static void compare(Fixture *fixture, const char *name) {
    g_autoptr(DinvPlan) plan = dinv_plan_new(&fixture->config, &fixture->findings);
    g_assert_true(plan->machine.config == &fixture->config);
    /* These have to be made first. */
    g_assert_null(plan->machine.files_dir);
    g_assert_null(plan->machine.data_image);
    g_assert_null(plan->machine.volume_image);
    g_autofree char *text = dump(plan);
    g_autofree char *file = g_strconcat(name, ".plan", NULL);
    golden_compare(text, "plan", file);
}

static void works(Fixture *fixture, guint tsc_khz) {
    fixture->findings.kvm.kind = DINV_HOST_KVM_OK;
    fixture->findings.kvm.tsc_khz = tsc_khz;
}

static void test_auto_without_kvm(Fixture *fixture) {
    compare(fixture, "auto-tcg");
}

static void test_auto_with_kvm(Fixture *fixture) {
    works(fixture, 2100000);
    compare(fixture, "auto-kvm");
}

static void test_kvm_silent_about_tsc(Fixture *fixture) {
    works(fixture, 0);
    fixture->config.accel = DINV_ACCEL_KVM;
    compare(fixture, "kvm-measured-tsc");
}

/* What is asked for counts, not what would work. */
static void test_tcg_wanted(Fixture *fixture) {
    works(fixture, 2100000);
    fixture->config.accel = DINV_ACCEL_TCG;
    compare(fixture, "tcg");
}

/* User-Mode Linux was tried, and does what it should. */
static void uml_works(Fixture *fixture) {
    fixture->findings.uml_is_tested = TRUE;
    fixture->findings.uml.kind = DINV_UML_WORKS;
}

static void test_auto_with_uml(Fixture *fixture) {
    uml_works(fixture);
    compare(fixture, "auto-uml");
}

static void test_auto_with_both(Fixture *fixture) {
    uml_works(fixture);
    works(fixture, 2100000);
    compare(fixture, "auto-kvm");
}

static void test_uml_ptrace(Fixture *fixture) {
    uml_works(fixture);
    fixture->config.accel = DINV_ACCEL_UML;
    fixture->config.uml = DINV_UML_PTRACE;
    compare(fixture, "uml");
}

static void test_uml_cpus(Fixture *fixture) {
    uml_works(fixture);
    fixture->config.accel = DINV_ACCEL_UML;
    fixture->config.cpus_given = TRUE;
    compare(fixture, "uml-cpus");
}

/* It says no where it cannot do what is asked, and with auto the next one does it. */
static void test_auto_ptrace_cpus(Fixture *fixture) {
    uml_works(fixture);
    fixture->config.uml = DINV_UML_PTRACE;
    fixture->config.cpus_given = TRUE;
    compare(fixture, "auto-tcg");
}

static void test_uml_emulated_cpu(Fixture *fixture) {
    uml_works(fixture);
    fixture->findings.cpu_is_emulated = TRUE;
    compare(fixture, "auto-uml");
}

static void test_emulated_cpu(Fixture *fixture) {
    fixture->findings.cpu_is_emulated = TRUE;
    compare(fixture, "tcg-emulated-cpu");
}

/* KVM on an emulated CPU has a clock of its own. */
static void test_kvm_on_emulated_cpu(Fixture *fixture) {
    works(fixture, 2100000);
    fixture->findings.cpu_is_emulated = TRUE;
    compare(fixture, "kvm-emulated-cpu");
}

static void test_memory_limit(Fixture *fixture) {
    fixture->findings.limits.memory_limit = 2560 * MEBI;
    compare(fixture, "tcg-limited");
}

/* Sorted by target, so that a path is mounted before what lies in it; files are read-only. */
static void add_mounts(Fixture *fixture) {
    add_named(fixture, "/srv/inner", "/data/inner");
    add_named(fixture, "/srv/outer", "/data")->spec->readonly = TRUE;
    add_mount(fixture, TRUE, S_IFREG, "/root/.netrc", "/root/.netrc");
    add_found(fixture, "/builds");
    add_found(fixture, "/data");       /* its place is taken */
    add_found(fixture, "/etc/docker"); /* the launcher reads it */
    add_found(fixture, "/lib/modules");
    add_found(fixture, "/gone")->error = ENOENT;
}

static void test_mounts_over_9p(Fixture *fixture) {
    add_mounts(fixture);
    compare(fixture, "mounts-9p");
}

static void test_mounts_over_virtiofs(Fixture *fixture) {
    find_virtiofsd(fixture);
    add_mounts(fixture);
    compare(fixture, "mounts-virtiofs");
}

/* DINV_MOUNT_DRIVER is for QEMU. */
static void test_mounts_uml(Fixture *fixture) {
    uml_works(fixture);
    find_virtiofsd(fixture);
    fixture->config.mount_driver = DINV_MOUNT_9P;
    add_mounts(fixture);
    compare(fixture, "mounts-uml");
}

static void test_mounts_uml_not(Fixture *fixture) {
    uml_works(fixture);
    add_mounts(fixture);
    compare(fixture, "mounts-9p");
    find_virtiofsd(fixture);
    fixture->findings.virtiofsd.is_of_qemu = TRUE;
    fixture->config.mount_driver = DINV_MOUNT_9P;
    compare(fixture, "mounts-9p");
}

static void test_mounts_9p_wanted(Fixture *fixture) {
    find_virtiofsd(fixture);
    fixture->config.mount_driver = DINV_MOUNT_9P;
    add_mounts(fixture);
    compare(fixture, "mounts-9p-wanted");
}

static void test_virtiofs_without_mounts(Fixture *fixture) {
    find_virtiofsd(fixture);
    compare(fixture, "virtiofs-no-mounts");
}

static void test_network(Fixture *fixture) {
    const DinvHostNetwork outer[] = {{{DINV_IPV4(172, 17, 0, 0), 16}, "eth0"},
                                     {{DINV_IPV4(10, 0, 2, 0), 24}, "eth1"}};
    g_array_append_vals(fixture->findings.outer_networks, outer, G_N_ELEMENTS(outer));
    compare(fixture, "network-avoids-outer");
}

static void test_network_wanted(Fixture *fixture) {
    fixture->config.subnet = (DinvIpv4Network){DINV_IPV4(10, 99, 0, 0), 24};
    fixture->config.bip = (DinvIpv4Network){DINV_IPV4(172, 30, 0, 1), 16};
    compare(fixture, "network-wanted");
}

typedef struct {
    const char *path;
    void (*test)(Fixture *fixture);
} Case;

static const Case cases[] = {
    {"/launcher/plan/auto-without-kvm", test_auto_without_kvm},
    {"/launcher/plan/auto-with-kvm", test_auto_with_kvm},
    {"/launcher/plan/kvm-silent-about-tsc", test_kvm_silent_about_tsc},
    {"/launcher/plan/tcg-wanted", test_tcg_wanted},
    {"/launcher/plan/auto-with-uml", test_auto_with_uml},
    {"/launcher/plan/auto-with-both", test_auto_with_both},
    {"/launcher/plan/uml-ptrace", test_uml_ptrace},
    {"/launcher/plan/uml-cpus", test_uml_cpus},
    {"/launcher/plan/auto-ptrace-cpus", test_auto_ptrace_cpus},
    {"/launcher/plan/uml-emulated-cpu", test_uml_emulated_cpu},
    {"/launcher/plan/emulated-cpu", test_emulated_cpu},
    {"/launcher/plan/kvm-on-emulated-cpu", test_kvm_on_emulated_cpu},
    {"/launcher/plan/memory-limit", test_memory_limit},
    {"/launcher/plan/mounts/9p", test_mounts_over_9p},
    {"/launcher/plan/mounts/virtiofs", test_mounts_over_virtiofs},
    {"/launcher/plan/mounts/uml", test_mounts_uml},
    {"/launcher/plan/mounts/uml-not", test_mounts_uml_not},
    {"/launcher/plan/mounts/9p-wanted", test_mounts_9p_wanted},
    {"/launcher/plan/mounts/none", test_virtiofs_without_mounts},
    {"/launcher/plan/network/avoids-outer", test_network},
    {"/launcher/plan/network/wanted", test_network_wanted},
};

static void run(Fixture *fixture, gconstpointer data) {
    const Case *one = data;
    one->test(fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].path, Fixture, &cases[i], set_up, run, tear_down);
    }
    return g_test_run();
}

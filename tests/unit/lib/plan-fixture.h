/* SPDX-License-Identifier: MIT */
/*
 * Settings and findings made up by a test, from which the functions of launcher/plan decide.
 * Included once per test program.
 */
#pragma once

#include <errno.h>
#include <sys/stat.h>

#include "launcher/plan/plan.h"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)

typedef struct {
    DinvConfig config;
    DinvPlanFindings findings;
} Fixture;

/* A machine with 8 GiB and a CPU of its own, without KVM, virtiofsd and mounts. */
static inline void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->config = (DinvConfig){.cpus = 2,
                                   .memory_bytes = 2048 * MEBI,
                                   .config_dir = (char *)"/etc/docker",
                                   .qemu = (char *)"qemu-system-x86_64",
                                   .uml_kernel = (char *)"/usr/lib/dinv/linux-uml",
                                   .mount_driver = DINV_MOUNT_AUTO};
    dinv_plan_findings_init(&fixture->findings);
    DinvPlanFindings *findings = &fixture->findings;
    findings->kvm_is_tested = TRUE;
    findings->kvm.kind = DINV_HOST_KVM_MISSING;
    findings->tsc_khz = 2300000;
    findings->limits = (DinvHostLimits){.cpus_online = 4, .memory_total = 8192 * MEBI};
    findings->state_dir = g_strdup("/var/lib/dinv");
    findings->socket_path = g_strdup("/run/docker.sock");
    g_ptr_array_add(findings->kernel_directories, g_strdup("/proc"));
    findings->virtiofsd_reason = g_strdup("there is no virtiofsd");
}

static inline void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_plan_findings_clear(&fixture->findings);
}

/* Something that can be read, to be shown at `target`. Borrowed: the test may change it. */
static inline DinvPlanMountFinding *add_mount(Fixture *fixture, gboolean is_named, mode_t type,
                                              const char *source, const char *target) {
    DinvPlanMountFinding *found = g_new0(DinvPlanMountFinding, 1);
    found->spec = g_new0(DinvMountSpec, 1);
    found->spec->source = g_strdup(source);
    found->spec->target = g_strdup(target);
    found->is_named = is_named;
    found->resolved = g_strdup(source);
    found->mode = type | 0755;
    found->is_readable = TRUE;
    g_ptr_array_add(fixture->findings.mounts, found);
    return found;
}

static inline DinvPlanMountFinding *add_named(Fixture *fixture, const char *source,
                                              const char *target) {
    return add_mount(fixture, TRUE, S_IFDIR, source, target);
}

/* A mount of the outer container, which is shown at its own path. */
static inline DinvPlanMountFinding *add_found(Fixture *fixture, const char *path) {
    return add_mount(fixture, FALSE, S_IFDIR, path, path);
}

static inline void find_virtiofsd(Fixture *fixture) {
    fixture->findings.virtiofsd_is_usable = TRUE;
    fixture->findings.virtiofsd = (DinvMachineVirtiofsd){.program = "/usr/libexec/virtiofsd"};
}

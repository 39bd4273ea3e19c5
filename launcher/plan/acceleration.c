/* SPDX-License-Identifier: MIT */
/* DINV_ACCEL against what the self-tests of KVM and User-Mode Linux have shown. */
#include "launcher/plan/acceleration.h"

#include "launcher/plan/mounts.h"

/* A guest of User-Mode Linux has one CPU unless the user wants more: its programs are processes
 * here, and a second CPU costs each wake-up between the two more than it gains. */
static guint uml_cpus(const DinvConfig *config) {
    return config->cpus_given ? config->cpus : 1;
}

/* Its mounts come over virtio-fs, with a virtiofsd that names the share. */
static char *find_mount_problem(const DinvConfig *config, const DinvPlanFindings *findings,
                                char **remedy) {
    g_autoptr(GPtrArray) mounts = dinv_plan_mounts(config, findings);
    if (!dinv_plan_mounts_are_shown(mounts) ||
        (findings->virtiofsd_is_usable && !findings->virtiofsd.is_of_qemu)) {
        return NULL;
    }
    *remedy = g_strdup("give the container root with Docker's default capabilities, or an ordinary "
                       "user (docker run --user), and the package virtiofsd; take the mounts away "
                       "(DINV_MOUNTS); or use DINV_ACCEL=tcg");
    if (findings->virtiofsd_is_usable) {
        return g_strdup_printf("User-Mode Linux cannot show mounts: %s is too old for it",
                               findings->virtiofsd.program);
    }
    return g_strdup_printf("User-Mode Linux cannot show mounts: %s", findings->virtiofsd_reason);
}

char *dinv_plan_uml_problem(const DinvConfig *config, const DinvPlanFindings *findings,
                            char **remedy) {
    if (config->uml == DINV_UML_PTRACE && uml_cpus(config) > 1) {
        *remedy = g_strdup("take DINV_CPUS away, or use DINV_UML=seccomp");
        return g_strdup_printf("DINV_UML=ptrace has one CPU only, and DINV_CPUS is %u",
                               config->cpus);
    }
    if (!findings->uml_is_tested) {
        *remedy = g_strdup("use DINV_ACCEL=uml");
        return g_strdup("User-Mode Linux was not tested");
    }
    if (findings->uml.kind != DINV_UML_WORKS) {
        *remedy = g_strdup(findings->uml.remedy);
        return g_strdup(findings->uml.text);
    }
    return find_mount_problem(config, findings, remedy);
}

static gboolean can_be_uml(const DinvConfig *config, const DinvPlanFindings *findings) {
    g_autofree char *remedy = NULL;
    g_autofree char *problem = dinv_plan_uml_problem(config, findings, &remedy);
    return problem == NULL;
}

DinvPlanAccel dinv_plan_accel(const DinvConfig *config, const DinvPlanFindings *findings) {
    if (config->accel == DINV_ACCEL_TCG) {
        return DINV_PLAN_ACCEL_TCG;
    }
    if (config->accel == DINV_ACCEL_UML) {
        return can_be_uml(config, findings) ? DINV_PLAN_ACCEL_UML : DINV_PLAN_ACCEL_NONE;
    }
    if (findings->kvm_is_tested && findings->kvm.kind == DINV_HOST_KVM_OK) {
        return DINV_PLAN_ACCEL_KVM;
    }
    if (config->accel == DINV_ACCEL_KVM) {
        return DINV_PLAN_ACCEL_NONE;
    }
    return can_be_uml(config, findings) ? DINV_PLAN_ACCEL_UML_FALLBACK
                                        : DINV_PLAN_ACCEL_TCG_FALLBACK;
}

gboolean dinv_plan_accel_is_uml(DinvPlanAccel accel) {
    return accel == DINV_PLAN_ACCEL_UML || accel == DINV_PLAN_ACCEL_UML_FALLBACK;
}

guint dinv_plan_cpus(const DinvConfig *config, const DinvPlanFindings *findings) {
    return dinv_plan_accel_is_uml(dinv_plan_accel(config, findings)) ? uml_cpus(config)
                                                                     : config->cpus;
}

gboolean dinv_plan_wants_icount(const DinvConfig *config, const DinvPlanFindings *findings) {
    DinvPlanAccel accel = dinv_plan_accel(config, findings);
    return findings->cpu_is_emulated && accel != DINV_PLAN_ACCEL_KVM &&
           !dinv_plan_accel_is_uml(accel);
}

guint dinv_plan_tsc_khz(const DinvConfig *config, const DinvPlanFindings *findings) {
    gboolean is_told =
        dinv_plan_accel(config, findings) == DINV_PLAN_ACCEL_KVM && findings->kvm.tsc_khz != 0;
    return is_told ? findings->kvm.tsc_khz : findings->tsc_khz;
}

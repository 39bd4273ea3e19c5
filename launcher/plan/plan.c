/* SPDX-License-Identifier: MIT */
/* Puts the single decisions together. */
#include "launcher/plan/plan.h"

#include <string.h>

#include "launcher/machine/qemu/qemu.h"
#include "launcher/machine/uml/uml.h"
#include "launcher/plan/acceleration.h"
#include "launcher/plan/mounts.h"

static gint plan_compare_targets(gconstpointer a, gconstpointer b) {
    const DinvMountSpec *const *left = a;
    const DinvMountSpec *const *right = b;
    return strcmp((*left)->target, (*right)->target);
}

/* In the order of mounting: a path before what lies in it. */
static GPtrArray *list_shown(const GPtrArray *mounts) {
    GPtrArray *shown = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    for (guint i = 0; i < mounts->len; i++) {
        const DinvPlanMount *mount = mounts->pdata[i];
        if (dinv_plan_mount_is_shown(mount)) {
            g_ptr_array_add(shown, dinv_mount_spec_copy(mount->spec));
        }
    }
    g_ptr_array_sort(shown, plan_compare_targets);
    return shown;
}

DinvPlan *dinv_plan_new(const DinvConfig *config, const DinvPlanFindings *findings) {
    g_autoptr(GPtrArray) mounts = dinv_plan_mounts(config, findings);
    gboolean use_virtiofs =
        dinv_plan_mount_server(config, findings, mounts) == DINV_PLAN_SERVER_VIRTIOFSD;
    DinvPlan *plan = g_new0(DinvPlan, 1);
    plan->network =
        dinv_engine_network_plan_for(config, findings->engine, findings->outer_networks);
    plan->mounts = list_shown(mounts);
    DinvPlanAccel accel = dinv_plan_accel(config, findings);
    gboolean is_uml = dinv_plan_accel_is_uml(accel);
    plan->machine = (DinvMachinePlan){
        .ops = is_uml ? &dinv_machine_uml : &dinv_machine_qemu,
        .accel = is_uml                         ? DINV_MACHINE_UML
                 : accel == DINV_PLAN_ACCEL_KVM ? DINV_MACHINE_KVM
                                                : DINV_MACHINE_TCG,
        .program = is_uml ? config->uml_kernel : config->qemu,
        .cpus = dinv_plan_cpus(config, findings),
        .config = config,
        .mounts = plan->mounts,
        .virtiofsd = use_virtiofs ? &findings->virtiofsd : NULL,
    };
    plan->machine.qemu = (DinvMachineQemuPlan){
        .tsc_khz = dinv_plan_tsc_khz(config, findings),
        .icount = dinv_plan_wants_icount(config, findings),
        .tcg_buffer_bytes = dinv_host_limits_tcg_buffer(&findings->limits, config->memory_bytes),
    };
    plan->machine.uml = (DinvMachineUmlPlan){.use_ptrace = config->uml == DINV_UML_PTRACE,
                                             .opens_files = findings->uml.opens_files};
    return plan;
}

void dinv_plan_free(DinvPlan *plan) {
    if (plan == NULL) {
        return;
    }
    dinv_engine_network_plan_free(plan->network);
    g_ptr_array_unref(plan->mounts);
    g_free(plan);
}

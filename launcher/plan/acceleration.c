/* SPDX-License-Identifier: MIT */
/* DINV_ACCEL against what the self-test of KVM has shown. */
#include "launcher/plan/acceleration.h"

DinvPlanAccel dinv_plan_accel(const DinvConfig *config, const DinvPlanFindings *findings) {
    if (config->accel == DINV_ACCEL_TCG) {
        return DINV_PLAN_ACCEL_TCG;
    }
    if (findings->kvm_is_tested && findings->kvm.kind == DINV_HOST_KVM_OK) {
        return DINV_PLAN_ACCEL_KVM;
    }
    return config->accel == DINV_ACCEL_KVM ? DINV_PLAN_ACCEL_NONE : DINV_PLAN_ACCEL_TCG_FALLBACK;
}

gboolean dinv_plan_wants_icount(const DinvConfig *config, const DinvPlanFindings *findings) {
    return findings->cpu_is_emulated && dinv_plan_accel(config, findings) != DINV_PLAN_ACCEL_KVM;
}

guint dinv_plan_tsc_khz(const DinvConfig *config, const DinvPlanFindings *findings) {
    gboolean is_told =
        dinv_plan_accel(config, findings) == DINV_PLAN_ACCEL_KVM && findings->kvm.tsc_khz != 0;
    return is_told ? findings->kvm.tsc_khz : findings->tsc_khz;
}

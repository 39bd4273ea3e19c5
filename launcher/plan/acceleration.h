/* SPDX-License-Identifier: MIT */
/* What runs the guest's instructions, and by which clock. */
#pragma once

#include "launcher/plan/findings.h"

typedef enum {
    DINV_PLAN_ACCEL_KVM,
    DINV_PLAN_ACCEL_TCG,          /* emulation, as the user asked for */
    DINV_PLAN_ACCEL_TCG_FALLBACK, /* emulation, as KVM does not work */
    DINV_PLAN_ACCEL_NONE,         /* the user asked for KVM, which does not work: no start */
} DinvPlanAccel;

DinvPlanAccel dinv_plan_accel(const DinvConfig *config, const DinvPlanFindings *findings);

/* Whether the guest's clock is to count instructions. A guest that is emulated on an emulated CPU
 * has a thirtieth of the speed and does nothing but serve its timer, unless its clock is slow as
 * well. */
gboolean dinv_plan_wants_icount(const DinvConfig *config, const DinvPlanFindings *findings);

/* The rate of the guest's TSC in kHz, 0 if it is unknown: KVM's word, else what was measured. */
guint dinv_plan_tsc_khz(const DinvConfig *config, const DinvPlanFindings *findings);

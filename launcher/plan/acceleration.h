/* SPDX-License-Identifier: MIT */
/* What runs the guest's instructions, with how many CPUs, and by which clock. */
#pragma once

#include "launcher/plan/findings.h"

typedef enum {
    DINV_PLAN_ACCEL_KVM,
    DINV_PLAN_ACCEL_UML,
    DINV_PLAN_ACCEL_UML_FALLBACK, /* User-Mode Linux, as KVM does not work */
    DINV_PLAN_ACCEL_TCG,          /* emulation, as the user asked for */
    DINV_PLAN_ACCEL_TCG_FALLBACK, /* emulation, as neither of the others works */
    DINV_PLAN_ACCEL_NONE,         /* what the user asked for does not work: no start */
} DinvPlanAccel;

DinvPlanAccel dinv_plan_accel(const DinvConfig *config, const DinvPlanFindings *findings);

gboolean dinv_plan_accel_is_uml(DinvPlanAccel accel);

/* Why User-Mode Linux cannot be what runs the guest, a sentence without a full stop, and in *remedy
 * what to do; both to be freed. NULL, and *remedy untouched, if it can. */
char *dinv_plan_uml_problem(const DinvConfig *config, const DinvPlanFindings *findings,
                            char **remedy);

/* The number of the guest's CPUs. */
guint dinv_plan_cpus(const DinvConfig *config, const DinvPlanFindings *findings);

/* Whether the guest's clock is to count instructions. A guest that is emulated on an emulated CPU
 * has a thirtieth of the speed and does nothing but serve its timer, unless its clock is slow as
 * well. */
gboolean dinv_plan_wants_icount(const DinvConfig *config, const DinvPlanFindings *findings);

/* The rate of the guest's TSC in kHz, 0 if it is unknown: KVM's word, else what was measured. */
guint dinv_plan_tsc_khz(const DinvConfig *config, const DinvPlanFindings *findings);

/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/plan: decisions. Its functions are pure: from the settings and from what was
 * found (findings.h) follows what the machine will be. Nothing that looks at the system, makes
 * something or writes to the log may enter; `dinv doctor` and a start ask the same functions, so
 * that they cannot disagree.
 */
#pragma once

#include "launcher/engine/network-plan.h"
#include "launcher/machine/machine.h"
#include "launcher/plan/findings.h"

typedef struct {
    /* Without the images and files_dir, which are not there before they are made: the caller adds
     * them. */
    DinvMachinePlan machine;
    DinvEngineNetworkPlan *network; /* the addresses of the inner networks */
    GPtrArray *mounts;              /* of machine.mounts: a path comes before what lies in it */
} DinvPlan;

/* Both arguments are borrowed for the plan's whole life. Only for findings with which preflight
 * lets a start be tried; otherwise the plan leaves out what cannot be. Transfer full. */
DinvPlan *dinv_plan_new(const DinvConfig *config, const DinvPlanFindings *findings);
void dinv_plan_free(DinvPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvPlan, dinv_plan_free)

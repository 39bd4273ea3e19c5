/* SPDX-License-Identifier: MIT */
/* What holds the guest's network process and the kernel of User-Mode Linux back, judged. */
#pragma once

#include "launcher/plan/findings.h"

/* Which of all that confines dinv-usernet is not in force here, "landlock, core" for instance; NULL
 * if nothing is missing. Transfer full. */
char *dinv_plan_usernet_missing(const DinvPlanFindings *findings);

/* Whether it is held back well enough to say nothing of it at a start: a hole in it leads neither
 * to files nor to programs. */
gboolean dinv_plan_usernet_is_caged(const DinvPlanFindings *findings);

/* The same two of User-Mode Linux, which has to work. */
char *dinv_plan_uml_missing(const DinvPlanFindings *findings);
gboolean dinv_plan_uml_is_caged(const DinvPlanFindings *findings);

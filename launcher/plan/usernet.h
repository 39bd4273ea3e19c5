/* SPDX-License-Identifier: MIT */
/* What the guest's network process is held back by, judged. */
#pragma once

#include "launcher/plan/findings.h"

/* Which of all that confines dinv-usernet is not in force here, "landlock, core" for instance; NULL
 * if nothing is missing. Transfer full. */
char *dinv_plan_usernet_missing(const DinvPlanFindings *findings);

/* Whether it is held back well enough to say nothing of it at a start: a hole in it leads neither
 * to files nor to programs. */
gboolean dinv_plan_usernet_is_caged(const DinvPlanFindings *findings);

/* SPDX-License-Identifier: MIT */
/* A look at a path that somebody named, which may lie on a file system that does not answer. */
#pragma once

#include "launcher/plan/findings.h"

/* How long the launcher waits for all looks of one start together, in milliseconds. */
#define DINV_PREFLIGHT_LOOK_MS 10000u

/* Looks at spec->source, in a thread: fills `found` but for `is_named`. What has not answered by
 * `until_us` (monotonic time), or within another second after it, counts as found with the error
 * ETIMEDOUT; its thread is left alone, and touches nothing of the caller's. `spec` is copied. */
void dinv_preflight_look(const DinvMountSpec *spec, gint64 until_us, DinvPlanMountFinding *found);

/* SPDX-License-Identifier: MIT */
/* The rows that say what was measured. */
#pragma once

#include "launcher/bench/table.h"
#include "launcher/plan/findings.h"

/* Adds what is known before the start: CPU, kernel, acceleration, QEMU, dinv, file system of
 * `directory`, date. */
void dinv_bench_add_host(DinvBenchTable *table, const DinvConfig *config,
                         const DinvPlanFindings *findings, const char *directory);

/* Adds what the machine that runs says of itself. Blocks as dinv_cli_launcher_ask() does. */
void dinv_bench_add_machine(DinvBenchTable *table, const DinvConfig *config);

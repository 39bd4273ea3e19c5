/* SPDX-License-Identifier: MIT */
/* The verb `doctor`. */
#pragma once

#include <stdio.h>

#include "launcher/preflight/preflight.h"

/* `dinv doctor`: every line of preflight on standard output, with its remedy. Returns the exit
 * status: 0 if a start would work, else 1. Blocks as dinv_preflight() does. */
int dinv_cli_doctor(const DinvConfig *config);

/* The lines themselves; for the test. */
void dinv_cli_doctor_print(const DinvPreflightReport *report, FILE *stream);

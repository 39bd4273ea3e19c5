/* SPDX-License-Identifier: MIT */
/* `dinv run` as a job of dinv, or below one: the engine is there already. */
#pragma once

#include "launcher/settings/config.h"

/* The variable that tells a job so; its value does not matter. */
#define DINV_CLI_WITHIN_VARIABLE "DINV_JOB"

/* Whether this process is below a job of the dinv that has config->state_dir. A second engine would
 * find the disk in use: recipes that start docker:dind's script behind a shell mean the first. */
gboolean dinv_cli_is_within(const DinvConfig *config);

/* What `run` does there: becomes `command`, or, as dockerd would, goes on until a signal stops it.
 * Returns the exit status. Blocks for as long as that takes. */
int dinv_cli_run_within(const DinvConfig *config, char **command);

/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/bench: `dinv doctor --bench`. It starts a machine of its own with the verbs
 * `run` and `shell` in child processes, measures it from outside as a user meets it, and prints a
 * table. Only a user of dinv's own doors (docker.sock, launcher.sock, published ports) may enter,
 * and nothing that another room needs.
 */
#pragma once

#include "launcher/settings/config.h"

/* Measures a microVM with these settings and prints a table in Markdown on standard output; what it
 * is doing is said on standard error. *config is changed: state directory, socket and mounts become
 * those of a directory that is made for this and removed at the end, and nothing is published or
 * logged but what is measured. With KVM it takes less than a minute, emulated at most five; what it
 * did not come to by then is said in the table.
 *
 * Returns the exit status: 0 if all was measured, 1 if a start would not work (its findings are
 * printed as `doctor` prints them) or something could not be measured, 125 if dinv itself failed,
 * 128 + N if signal N stopped it. The machine is stopped and the directory removed in each case.
 * Blocks. */
int dinv_bench(DinvConfig *config);

/* SPDX-License-Identifier: MIT */
/*
 * The virtiofsd processes of the mounts, one for each directory, each at one end of a connection
 * whose other end is for the machine. For the implementations of machine.h alone.
 */
#pragma once

#include "launcher/machine/machine.h"

typedef struct DinvMachineVirtiofs DinvMachineVirtiofs;

/* One of the processes has ended by itself; `text` says which and what it said. It ends with status
 * 0, `failed` FALSE, when the machine hangs up. Only the first is told. */
typedef void (*DinvMachineVirtiofsGone)(const char *text, gboolean failed, gpointer user);

/* Starts one for each directory of plan->mounts, which is borrowed for the call. Sockets are made
 * in the state directory and have no name any more when this returns. NULL when one of them cannot
 * be made or started, with a message that says which; then nothing is left. Waits for nothing. */
DinvMachineVirtiofs *dinv_machine_virtiofs_start(const DinvMachinePlan *plan,
                                                 DinvMachineVirtiofsGone gone, gpointer user,
                                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For the machine, in the order of the directories, with the files behind them: connected sockets,
 * or for a kernel of User-Mode Linux that opens files (DinvMachineUmlPlan) O_PATH descriptors to
 * connect to. Still owned here. */
const GArray *dinv_machine_virtiofs_get_fds(const DinvMachineVirtiofs *virtiofs);
/* Closes them, when the machine has its own. */
void dinv_machine_virtiofs_close_fds(DinvMachineVirtiofs *virtiofs);

/* Kills those that still run and waits for them; no callback. NULL is ignored. */
void dinv_machine_virtiofs_free(DinvMachineVirtiofs *virtiofs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMachineVirtiofs, dinv_machine_virtiofs_free)

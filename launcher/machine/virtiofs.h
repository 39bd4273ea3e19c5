/* SPDX-License-Identifier: MIT */
/*
 * virtiofs: the virtiofsd processes of the mounts, one for each directory, connected but not yet in
 * the hands of QEMU. Private to launcher/machine/qemu/qemu.c.
 */
#pragma once

#include "launcher/machine/machine.h"

/* argv for one directory; `fd` is the number of the listening socket in it. Pure. */
char **dinv_machine_virtiofsd_argv(const DinvMachineVirtiofsd *program, const DinvMountSpec *mount,
                                   int fd) G_GNUC_WARN_UNUSED_RESULT;

typedef struct DinvMachineVirtiofs DinvMachineVirtiofs;

/* One of the processes has ended by itself; `text` says which and what it said. It ends with status
 * 0, `failed` FALSE, when QEMU hangs up. Only the first is told. */
typedef void (*DinvMachineVirtiofsGone)(const char *text, gboolean failed, gpointer user);

/* Starts one for each directory of plan->mounts. Sockets are made in the state directory and have
 * no name any more when this returns. On failure nothing is left. */
DinvMachineVirtiofs *dinv_machine_virtiofs_start(const DinvMachinePlan *plan,
                                                 DinvMachineVirtiofsGone gone, gpointer user,
                                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Connected sockets for QEMU, in the order of the directories; still owned here. */
const GArray *dinv_machine_virtiofs_get_fds(const DinvMachineVirtiofs *virtiofs);
/* Closes them: QEMU has its own. */
void dinv_machine_virtiofs_close_fds(DinvMachineVirtiofs *virtiofs);

/* Kills those that still run and waits for them; no callback. NULL is ignored. */
void dinv_machine_virtiofs_free(DinvMachineVirtiofs *virtiofs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMachineVirtiofs, dinv_machine_virtiofs_free)

/* SPDX-License-Identifier: MIT */
/*
 * The virtiofsd processes of a QEMU machine. A share is only lost if QEMU is still there a little
 * later: each virtiofsd ends with QEMU.
 */
#include "launcher/machine/qemu/internal.h"

/* Between the end of a virtiofsd and that of the QEMU that it ended with. */
#define SHARE_GRACE_MS 1000u

static gboolean qemu_on_share_missed(gpointer user) {
    DinvMachine *machine = user;
    machine->lost_share_source = 0;
    if (machine->callbacks.lost != NULL && !machine->asked_to_end) {
        machine->callbacks.lost(machine, machine->lost_share, machine->user);
    }
    return G_SOURCE_REMOVE;
}

static void qemu_on_share_lost(const char *text, gboolean failed, gpointer user) {
    DinvMachine *machine = user;
    if (failed) {
        dinv_qemu_note_trouble(machine, text); /* should QEMU not get far without it */
    }
    machine->lost_share = g_strdup(text);
    if (!machine->process_gone) {
        machine->lost_share_source = g_timeout_add(SHARE_GRACE_MS, qemu_on_share_missed, machine);
    }
}

gboolean dinv_qemu_start_shares(DinvMachine *machine, GArray *fds, GError **error) {
    if (machine->plan->virtiofsd == NULL) {
        return TRUE;
    }
    machine->virtiofs =
        dinv_machine_virtiofs_start(machine->plan, qemu_on_share_lost, machine, error);
    if (machine->virtiofs == NULL) {
        return FALSE;
    }
    const GArray *shares = dinv_machine_virtiofs_get_fds(machine->virtiofs);
    g_array_append_vals(fds, shares->data, shares->len);
    return TRUE;
}

/* SPDX-License-Identifier: MIT */
/*
 * The virtiofsd processes of a machine. A share is only lost if the machine is still there a little
 * later: each virtiofsd ends with it.
 */
#include "launcher/machine/implementation.h"

/* Between the end of a virtiofsd and that of the machine that it ended with. */
#define SHARE_GRACE_MS 1000u

static gboolean machine_on_share_missed(gpointer user) {
    DinvMachine *machine = user;
    machine->lost_share_source = 0;
    if (machine->callbacks.lost != NULL && !machine->asked_to_end) {
        machine->callbacks.lost(machine, machine->lost_share, machine->user);
    }
    return G_SOURCE_REMOVE;
}

static void machine_on_share_lost(const char *text, gboolean failed, gpointer user) {
    DinvMachine *machine = user;
    if (failed) {
        dinv_machine_note_trouble(machine, text); /* should it not get far without the share */
    }
    machine->lost_share = g_strdup(text);
    if (!machine->process_gone) {
        machine->lost_share_source =
            g_timeout_add(SHARE_GRACE_MS, machine_on_share_missed, machine);
    }
}

gboolean dinv_machine_start_shares(DinvMachine *machine, GError **error) {
    if (machine->plan->virtiofsd == NULL) {
        return TRUE;
    }
    machine->virtiofs =
        dinv_machine_virtiofs_start(machine->plan, machine_on_share_lost, machine, error);
    return machine->virtiofs != NULL;
}

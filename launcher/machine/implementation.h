/* SPDX-License-Identifier: MIT */
/*
 * What every kind of machine is made of, for the folders below alone: a table of what it does, and
 * the parts that all have, sockets to the guest, a process, the servers of the shares. A kind has a
 * struct of its own with DinvMachine as its first member.
 *
 * Order of a life: dinv_machine_new() makes a zeroed struct of ops->size; `start` opens the
 * channels and spawns; the kind calls dinv_machine_tell_exit() once, as the last thing.
 */
#pragma once

#include "launcher/machine/machine.h"
#include "launcher/machine/process.h"
#include "launcher/machine/virtiofs.h"

/* The order is that of the numbers the descriptors have in the child. */
typedef enum {
    DINV_MACHINE_CHANNEL_CONTROL,
    DINV_MACHINE_CHANNEL_RELAY,
    DINV_MACHINE_CHANNEL_CONSOLE,
    DINV_MACHINE_CHANNEL_COUNT
} DinvMachineChannel;

struct DinvMachineOps {
    gsize size; /* of the kind's struct */
    /* As dinv_machine_start(), but on failure channels and shares are still the base's to undo. */
    gboolean (*start)(DinvMachine *machine, int network_fd, GError **error);
    /* As dinv_machine_quit(), for a process that runs and was not asked before. */
    void (*quit)(DinvMachine *machine);
    /* Frees what the kind has beside the base, before the process is ended. */
    void (*clear)(DinvMachine *machine);
};

struct DinvMachine {
    const DinvMachineOps *ops;
    const DinvMachinePlan *plan;
    DinvMachineCallbacks callbacks;
    gpointer user;
    int channels[DINV_MACHINE_CHANNEL_COUNT]; /* our ends; -1: taken, or not started */
    DinvMachineProcess *process;
    char *confinement; /* of the process, as words; NULL: it has none from here */
    gboolean process_gone;
    int wait_status;
    gboolean asked_to_end; /* by our user */
    DinvMachineKvmState kvm_state;
    char *trouble; /* what went wrong as seen from here, for the exit message */

    /* shares.c */
    DinvMachineVirtiofs *virtiofs; /* NULL: no virtiofsd serves */
    char *lost_share;              /* what a virtiofsd said that has ended */
    guint lost_share_source;
};

/* A connected pair of stream sockets, close-on-exec; ours is nonblocking, theirs is left as the
 * child wants to have it. On failure nothing is left. */
gboolean dinv_machine_make_channel(int *ours, int *theirs,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One for each channel: ours into the machine, theirs into `theirs`, which has room for all and is
 * closed by the caller whatever comes out. */
gboolean dinv_machine_open_channels(DinvMachine *machine, int *theirs,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Closes those that are not -1. */
void dinv_machine_close_fds(int *fds, gsize count);

/* What the exit message begins with, unless something was noted before. */
void dinv_machine_note_trouble(DinvMachine *machine, const char *text);

/* Calls `exited`; the machine may be freed afterwards. */
void dinv_machine_tell_exit(DinvMachine *machine, DinvMachineExitKind kind);

/* ---- shares.c ---- */

/* Starts virtiofsd where the plan has it. */
gboolean dinv_machine_start_shares(DinvMachine *machine, GError **error) G_GNUC_WARN_UNUSED_RESULT;

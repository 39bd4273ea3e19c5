/* SPDX-License-Identifier: MIT */
/*
 * The QEMU machine, as the files of this room share it: qemu.c starts it and is what machine.h
 * promises, ending.c finds out how it ended, pauses.c follows its STOP and RESUME, shares.c its
 * virtiofsd processes. Private to the room; the theory of operation is in qemu.c.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/machine/machine.h"
#include "launcher/machine/process.h"
#include "launcher/machine/virtiofs.h"
#include "qmp/client.h"

/* How long QEMU may take to answer a command. */
#define DINV_QEMU_COMMAND_MS 10000u
/* How long QEMU may take to end when it was asked to, or when one of its two ends has come. */
#define DINV_QEMU_EXIT_GRACE_MS 2000u

/* The order is that of the numbers the descriptors have in QEMU, from DINV_MACHINE_PROCESS_FIRST_FD
 * on. */
typedef enum {
    DINV_QEMU_CHANNEL_QMP,
    DINV_QEMU_CHANNEL_CONTROL,
    DINV_QEMU_CHANNEL_RELAY,
    DINV_QEMU_CHANNEL_CONSOLE,
    DINV_QEMU_CHANNEL_COUNT
} DinvQemuChannel;

typedef enum {
    DINV_QEMU_SHUTDOWN_NONE, /* no SHUTDOWN event, or one with a reason of the host's */
    DINV_QEMU_SHUTDOWN_GUEST,
    DINV_QEMU_SHUTDOWN_RESET,
    DINV_QEMU_SHUTDOWN_QUIT,
} DinvQemuShutdown;

struct DinvMachine {
    const DinvMachinePlan *plan;
    DinvMachineCallbacks callbacks;
    gpointer user;
    int channels[DINV_QEMU_CHANNEL_COUNT]; /* our ends; -1: taken, or not started */
    DinvMachineProcess *process;
    DinvQmpClient *qmp;

    /* shares.c */
    DinvMachineVirtiofs *virtiofs; /* NULL: mounts are over 9p */
    char *lost_share;              /* what a virtiofsd said that has ended */
    guint lost_share_source;

    /* ending.c */
    gboolean asked_to_end; /* quit by our user */
    gboolean process_gone;
    gboolean qmp_gone;
    int wait_status;
    DinvQemuShutdown shutdown;
    char *trouble;    /* what went wrong as seen from here, for the exit message */
    guint end_source; /* kills, or gives up waiting for the end of QMP */

    /* pauses.c */
    gboolean stopped;     /* vCPUs, by the last STOP or RESUME */
    gboolean told_paused; /* what our user was told last */
    guint retry_source;
    guint resume_source;
};

/* ---- qemu.c ---- */

/* The text of the member `name` of an object that QEMU sent; NULL if `object` is none or has no
 * such text. Borrowed. */
const char *dinv_qemu_get_text(struct json_object *object, const char *name);

/* ---- ending.c ---- */

/* What the exit message begins with, unless something was noted before. */
void dinv_qemu_note_trouble(DinvMachine *machine, const char *text);

/* The process, or QMP, is to follow within DINV_QEMU_EXIT_GRACE_MS, or is helped on. */
void dinv_qemu_expect_end(DinvMachine *machine);

/* The SHUTDOWN event. */
void dinv_qemu_on_shutdown(DinvMachine *machine, struct json_object *data);

/* The two ends: `user` is the machine. */
void dinv_qemu_on_process_gone(DinvMachineProcess *process, int wait_status, gpointer user);
void dinv_qemu_on_disconnected(DinvQmpClient *client, const GError *error, gpointer user);

/* Every timer of the machine, also those of pauses.c and shares.c. */
void dinv_qemu_clear_timers(DinvMachine *machine);

/* ---- pauses.c ---- */

/* The events STOP and RESUME. */
void dinv_qemu_on_stop(DinvMachine *machine);
void dinv_qemu_on_resume(DinvMachine *machine);

/* ---- shares.c ---- */

/* Starts virtiofsd where the plan has it, and appends QEMU's descriptors for it to `fds`. */
gboolean dinv_qemu_start_shares(DinvMachine *machine, GArray *fds,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

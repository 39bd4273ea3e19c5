/* SPDX-License-Identifier: MIT */
/*
 * The QEMU machine, as the files of this room share it: qemu.c starts it and is what machine.h
 * promises, ending.c finds out how it ended, pauses.c follows its STOP and RESUME. Private to the
 * room; the theory of operation is in qemu.c.
 */
#pragma once

#include <json-c/json.h>

#include "launcher/machine/implementation.h"
#include "qmp/client.h"

/* How long QEMU may take to answer a command. */
#define DINV_QEMU_COMMAND_MS 10000u
/* How long QEMU may take to end when it was asked to, or when one of its two ends has come. */
#define DINV_QEMU_EXIT_GRACE_MS 2000u

typedef enum {
    DINV_QEMU_SHUTDOWN_NONE, /* no SHUTDOWN event, or one with a reason of the host's */
    DINV_QEMU_SHUTDOWN_GUEST,
    DINV_QEMU_SHUTDOWN_RESET,
    DINV_QEMU_SHUTDOWN_QUIT,
} DinvQemuShutdown;

typedef struct {
    DinvMachine base;
    DinvQmpClient *qmp;

    /* ending.c */
    gboolean qmp_gone;
    DinvQemuShutdown shutdown;
    guint end_source; /* kills, or gives up waiting for the end of QMP */

    /* pauses.c */
    gboolean stopped;     /* vCPUs, by the last STOP or RESUME */
    gboolean told_paused; /* what our user was told last */
    guint retry_source;
    guint resume_source;
} DinvQemu;

/* ---- qemu.c ---- */

/* The text of the member `name` of an object that QEMU sent; NULL if `object` is none or has no
 * such text. Borrowed. */
const char *dinv_qemu_get_text(struct json_object *object, const char *name);

/* ---- ending.c ---- */

/* The process, or QMP, is to follow within DINV_QEMU_EXIT_GRACE_MS, or is helped on. */
void dinv_qemu_expect_end(DinvQemu *qemu);

/* The SHUTDOWN event. */
void dinv_qemu_on_shutdown(DinvQemu *qemu, struct json_object *data);

/* The two ends: `user` is the DinvQemu. */
void dinv_qemu_on_process_gone(DinvMachineProcess *process, int wait_status, gpointer user);
void dinv_qemu_on_disconnected(DinvQmpClient *client, const GError *error, gpointer user);

/* Every timer of QEMU, also those of pauses.c. */
void dinv_qemu_clear_timers(DinvQemu *qemu);

/* ---- pauses.c ---- */

/* The events STOP and RESUME. */
void dinv_qemu_on_stop(DinvQemu *qemu);
void dinv_qemu_on_resume(DinvQemu *qemu);

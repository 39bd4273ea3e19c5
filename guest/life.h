/* SPDX-License-Identifier: MIT */
/*
 * life: where the machine is between its first and its last instruction. One setter, one table.
 */
#pragma once

typedef enum {
    DINV_LIFE_BOOT,        /* file systems, channels */
    DINV_LIFE_WAITING,     /* for a launcher and its `configure` */
    DINV_LIFE_STARTING,    /* configured; dockerd runs, but has not answered */
    DINV_LIFE_READY,       /* the engine answers */
    DINV_LIFE_STOPPING,    /* dockerd was asked to stop, and stops its containers */
    DINV_LIFE_CUTTING,     /* it takes too long: containers were killed, dockerd still sees to it */
    DINV_LIFE_TERMINATING, /* dockerd is gone; SIGTERM to the rest */
    DINV_LIFE_KILLING,     /* SIGKILL to the rest */
    DINV_LIFE_UNMOUNTING,  /* no process is left, or none that can be killed */
    DINV_LIFE_FAREWELL,    /* `exit` is on its way to the launcher */
    DINV_LIFE_OFF,         /* the power is off as far as we are concerned */
    DINV_LIFE_COUNT,
} DinvLifeState;

typedef struct {
    DinvLifeState state;
} DinvLife;

const char *dinv_life_name(DinvLifeState state);
/* Goes to `next` and logs "old -> new". 0, or -EINVAL (logged, nothing changed) when the table does
 * not have the step. */
int dinv_life_set(DinvLife *life, DinvLifeState next);

/* SPDX-License-Identifier: MIT */
/*
 * Which directories and files of the outer container the guest gets, and what serves them. Root in
 * the guest writes to them as this process does. A mount that was asked for and cannot be shown is
 * a failure; one that "auto" has found is left out.
 */
#pragma once

#include "launcher/plan/findings.h"

typedef enum {
    DINV_PLAN_MOUNT_SHOWN,
    DINV_PLAN_MOUNT_SHOWN_READONLY, /* a file that was to be writable: the guest has a copy */
    DINV_PLAN_MOUNT_COVERED,        /* it is in the guest already, or is for the launcher itself */
    DINV_PLAN_MOUNT_OWN,            /* found, and dinv's or the container's own, for `problem` */
    DINV_PLAN_MOUNT_LEFT_OUT,       /* one that was found, for `problem` */
    DINV_PLAN_MOUNT_REFUSED,        /* one that was asked for, for `problem`: no start */
} DinvPlanMountVerdict;

typedef struct {
    DinvMountSpec *spec; /* as the guest would get it */
    DinvPlanMountVerdict verdict;
    char *problem; /* "does not exist": what a sentence about the path says; NULL if none */
} DinvPlanMount;

/* Judges all that were found: a GPtrArray of DinvPlanMount*, in the order of findings->mounts,
 * transfer full. */
GPtrArray *dinv_plan_mounts(const DinvConfig *config, const DinvPlanFindings *findings);

gboolean dinv_plan_mount_is_shown(const DinvPlanMount *mount);
/* Whether any of them, the result of dinv_plan_mounts(), is. */
gboolean dinv_plan_mounts_are_shown(const GPtrArray *mounts);

typedef enum {
    DINV_PLAN_SERVER_NONE,        /* there is nothing to be served */
    DINV_PLAN_SERVER_9P,          /* as the user asked for */
    DINV_PLAN_SERVER_9P_FALLBACK, /* as virtiofsd cannot be used */
    DINV_PLAN_SERVER_VIRTIOFSD,
    DINV_PLAN_SERVER_MISSING, /* the user asked for virtiofsd, which cannot be used: no start */
} DinvPlanServer;

/* What serves the directories among `mounts`, the result of dinv_plan_mounts(). */
DinvPlanServer dinv_plan_mount_server(const DinvConfig *config, const DinvPlanFindings *findings,
                                      const GPtrArray *mounts);

/* SPDX-License-Identifier: MIT */
/*
 * What was seen of the outer container and its host: plain data, without a judgement.
 * launcher/preflight fills it in, once; the functions of this room read it.
 */
#pragma once

#include <sys/types.h>

#include "launcher/engine/config.h"
#include "launcher/host/kvm-probe.h"
#include "launcher/host/limits.h"
#include "launcher/machine/machine.h"
#include "launcher/machine/uml/probe.h"

/* A directory or file of the outer container that the guest may be to see. */
typedef struct {
    DinvMountSpec *spec; /* as it was named or found; is_file is not known there */
    gboolean is_named;   /* by DINV_MOUNTS; else found among the outer container's mounts */
    gboolean is_memory;  /* found, and dinv_mount_is_memory() */
    gboolean is_scratch; /* found, and dinv_mount_is_scratch() */
    char *resolved;      /* the source with symbolic links followed */
    int error;           /* errno of stat(2), 0 if it worked; then: */
    mode_t mode;
    guint64 bytes;
    gboolean is_readable; /* for this user; a directory: can be listed and entered */
} DinvPlanMountFinding;

typedef struct {
    gboolean kvm_is_tested; /* it is not where the user asks for emulation */
    DinvHostKvmVerdict kvm;
    gboolean rootfs_is_usable;
    gboolean uml_is_tested; /* it is not where KVM works, or the user asks for something else */
    DinvUmlVerdict uml;
    gboolean cpu_is_emulated; /* by QEMU (TCG) */
    guint tsc_khz;            /* rate of this machine's TSC as measured; 0: unknown */
    guint qemu_major;         /* 0.0 if it did not tell */
    guint qemu_minor;
    DinvHostLimits limits;
    GPtrArray *mounts; /* of DinvPlanMountFinding*, those named first, each in its order */
    GPtrArray *kernel_directories; /* of char*: where file systems of the kernel are mounted */
    char *state_dir;               /* paths of the settings with symbolic links followed */
    char *socket_path;
    gboolean virtiofsd_is_usable;
    DinvMachineVirtiofsd virtiofsd; /* if it is */
    char *virtiofsd_reason;         /* why it is not */
    GArray *outer_networks;         /* of DinvHostNetwork: in use outside */
    char *usernet_features;         /* what confines dinv-usernet, a comma list; NULL: it fails */
    int ping_error;                 /* errno where no ping can leave, else 0 */
    DinvEngineConfig *engine;       /* what dockerd is to get; NULL: that cannot be read */
} DinvPlanFindings;

/* Findings that say nothing: nothing was tested, and all lists are empty. */
void dinv_plan_findings_init(DinvPlanFindings *findings);
/* Frees what they own. Zeroed findings are let be. */
void dinv_plan_findings_clear(DinvPlanFindings *findings);

/* For GPtrArray. */
void dinv_plan_mount_finding_free(gpointer finding);

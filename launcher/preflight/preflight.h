/* SPDX-License-Identifier: MIT */
/*
 * preflight: looks, before anything is made or changed, whether a start can work, and settles what
 * the machine needs to know of the host. `dinv doctor` shows the same list.
 */
#pragma once

#include "launcher/engine/network-plan.h"
#include "launcher/machine/machine.h"
#include "launcher/settings/config.h"

#define DINV_PREFLIGHT_ERROR (dinv_preflight_error_quark())
GQuark dinv_preflight_error_quark(void);

typedef enum {
    DINV_PREFLIGHT_ERROR_FAILED, /* a check failed */
    /* All is well but a disk, which dinv_state_open() will keep aside and then fail as well. */
    DINV_PREFLIGHT_ERROR_DISK,
} DinvPreflightError;

typedef enum { DINV_CHECK_OK, DINV_CHECK_WARNING, DINV_CHECK_FAILED } DinvCheckStatus;

typedef struct {
    const char *name; /* "acceleration" */
    DinvCheckStatus status;
    char *text;   /* a sentence without a full stop */
    char *remedy; /* what to do, or NULL */
} DinvCheck;

typedef struct {
    GPtrArray *checks; /* of DinvCheck*, in the order of a start; never NULL after a run */
    gboolean use_kvm;  /* never "auto" */
    guint tsc_khz;     /* rate of the guest's TSC, 0 if unknown */
    gboolean icount;   /* emulated on an emulated CPU: the guest's clock is to count instructions */
    guint qemu_major;  /* 0.0 if its check failed */
    guint qemu_minor;
    gboolean disk_is_damaged;
    DinvEngineConfig *engine; /* what dockerd is to get; NULL if its check failed */
    GPtrArray *mounts;     /* of DinvMountSpec*, in the order of mounting; never NULL after a run */
    gboolean use_virtiofs; /* with `virtiofsd`; never "auto" */
    DinvMachineVirtiofsd virtiofsd;
    DinvEngineNetworkPlan *network; /* what the inner networks will be; never NULL after a run */
} DinvPreflight;

/* Where to look; tests point elsewhere. */
typedef struct {
    const char *kvm_device; /* "/dev/kvm" */
    const char *root;       /* "": prefix of paths that no setting names */
    gboolean is_emulated;   /* dinv_host_cpu_is_emulated() */
} DinvPreflightHost;

/* Runs all checks, also after one has failed. *result is filled in any case (its former content is
 * dropped: zero-initialise), to be given to dinv_preflight_clear(). FALSE when a check failed: the
 * error is the first one, with its remedy. Blocks for up to some seconds (KVM's self-test, qemu
 * --version, 20 ms of TSC measurement). Changes nothing; binds ports and frees them again. */
gboolean dinv_preflight(const DinvConfig *config, DinvPreflight *result, GError **error);
gboolean dinv_preflight_on(const DinvPreflightHost *host, const DinvConfig *config,
                           DinvPreflight *result, GError **error);
void dinv_preflight_clear(DinvPreflight *result);

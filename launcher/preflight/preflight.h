/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/preflight: looks, before anything is made or changed, whether a start can work,
 * and notes what a plan of the machine needs to know (launcher/plan/findings.h). Nothing that makes
 * or changes something may enter, and no decision: a line that tells of one asks launcher/plan, as
 * the start does. `dinv doctor` shows the same lines.
 */
#pragma once

#include "launcher/plan/findings.h"
#include "launcher/preflight/report.h"
#include "launcher/settings/config.h"

#define DINV_PREFLIGHT_ERROR (dinv_preflight_error_quark())
GQuark dinv_preflight_error_quark(void);

typedef enum {
    DINV_PREFLIGHT_ERROR_FAILED, /* a check failed */
    /* All is well but a disk, which dinv_state_open() will keep aside and then fail as well. */
    DINV_PREFLIGHT_ERROR_DISK,
} DinvPreflightError;

typedef struct {
    DinvPreflightReport *report; /* never NULL after a run */
    DinvPlanFindings findings;
    gboolean disk_is_damaged;
} DinvPreflight;

/* Where to look; tests point elsewhere. */
typedef struct {
    const char *kvm_device; /* "/dev/kvm" */
    const char *root;       /* "": prefix of paths that no setting names */
    gboolean is_emulated;   /* dinv_host_cpu_is_emulated() */
    gboolean is_bound;      /* this process has the sockets and ports of the engine already */
} DinvPreflightHost;

/* Runs all checks, also after one has failed; with `is_bound` (DinvPreflightHost) not whether the
 * engine's sockets and ports are free. *result is filled in any case (its former content is
 * dropped: zero-initialise), to be given to dinv_preflight_clear(). FALSE when a check failed: the
 * error is the first one, with its remedy. Blocks for up to some seconds (KVM's self-test, qemu
 * --version, 20 ms of TSC measurement). Changes nothing; binds ports and frees them again. */
gboolean dinv_preflight(const DinvConfig *config, gboolean is_bound, DinvPreflight *result,
                        GError **error);
gboolean dinv_preflight_on(const DinvPreflightHost *host, const DinvConfig *config,
                           DinvPreflight *result, GError **error);
void dinv_preflight_clear(DinvPreflight *result);

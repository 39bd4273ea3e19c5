/* SPDX-License-Identifier: MIT */
/*
 * The self-test of /dev/kvm: does it run a few instructions of a 64-bit kernel as a CPU would? Some
 * hosts offer a device that opens and makes machines but cannot run an ordinary kernel.
 */
#pragma once

#include <glib.h>

typedef enum {
    DINV_HOST_KVM_OK,
    DINV_HOST_KVM_MISSING,    /* no device node, or no KVM behind it */
    DINV_HOST_KVM_PERMISSION, /* the node may not be opened */
    DINV_HOST_KVM_BUSY,       /* another hypervisor holds the CPU's virtualization */
    DINV_HOST_KVM_BROKEN,     /* it opens, but does not run the test as a CPU would */
} DinvHostKvmKind;

typedef struct {
    DinvHostKvmKind kind;
    char *text;    /* one sentence without a full stop; also for OK */
    char *remedy;  /* what to do, or NULL */
    guint tsc_khz; /* rate of the guest's TSC, 0 if KVM did not tell */
} DinvHostKvmVerdict;

/* How far the test came. Each names the step that is being done or that failed. */
typedef enum {
    DINV_HOST_KVM_STAGE_OPEN,
    DINV_HOST_KVM_STAGE_VERSION,
    DINV_HOST_KVM_STAGE_CREATE_VM,
    DINV_HOST_KVM_STAGE_MEMORY,
    DINV_HOST_KVM_STAGE_CREATE_VCPU,
    DINV_HOST_KVM_STAGE_REGISTERS,
    DINV_HOST_KVM_STAGE_RUN,
    DINV_HOST_KVM_STAGE_RESULT, /* the guest halted, its registers are compared */
    DINV_HOST_KVM_STAGE_DONE,   /* all as expected */
} DinvHostKvmStage;

/* What the code in the test machine was doing last. */
typedef enum {
    DINV_HOST_KVM_STEP_NONE,
    DINV_HOST_KVM_STEP_CMPXCHG16B,
    DINV_HOST_KVM_STEP_IDIV,
    DINV_HOST_KVM_STEP_XSAVE,
    DINV_HOST_KVM_STEP_INT3,
    DINV_HOST_KVM_STEP_END,
} DinvHostKvmStep;

/* What was seen; plain data, shared between the process that tests and the one that watches it. */
typedef struct {
    DinvHostKvmStage stage;
    int error;       /* errno of the stage, 0 if it did not fail that way */
    int version;     /* of the API, from VERSION on */
    gint32 step;     /* DinvHostKvmStep as the guest wrote it: untrusted */
    gboolean fault;  /* the guest met an exception that it should not */
    gboolean exited; /* KVM_RUN came back, with: */
    guint32 exit_reason;
    guint32 exit_detail; /* suberror of an internal error, hardware reason of a failed entry */
    guint tsc_khz;
    gboolean timed_out; /* the watching process gave up */
    int killed_by;      /* signal that ended the testing process, 0 if none */
    /* Of the device node, for the remedy. */
    guint node_mode;
    guint node_gid;
} DinvHostKvmObservation;

/* Tests `device` ("/dev/kvm"). Blocks: 300 ms for the test machine's run, about a second at the
 * very most. Forks once, and reaps what it forked: to be called before there is a main loop, which
 * would reap it, too. *verdict is to be cleared. */
void dinv_host_kvm_probe(const char *device, DinvHostKvmVerdict *verdict);

/* The verdict on what was seen on `device`, to be cleared; pure. */
void dinv_host_kvm_interpret(const char *device, const DinvHostKvmObservation *seen,
                             DinvHostKvmVerdict *verdict);

/* Frees the texts of *verdict. */
void dinv_host_kvm_verdict_clear(DinvHostKvmVerdict *verdict);

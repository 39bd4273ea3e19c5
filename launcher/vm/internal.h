/* SPDX-License-Identifier: MIT */
/* What vm.c, configure.c and status.c share; not for others. */
#pragma once

#include "launcher/dns/forwarder.h"
#include "launcher/host/limits.h"
#include "launcher/network/publisher.h"
#include "launcher/vm/console.h"
#include "launcher/vm/control.h"
#include "launcher/vm/endpoints.h"
#include "launcher/vm/vm.h"

typedef struct {
    char *name;
    double seconds; /* since the launcher's start */
} DinvVmPhase;

struct DinvVm {
    const DinvMachinePlan *plan;
    const DinvEngineConfig *engine;
    const DinvEngineNetworkPlan *network;
    DinvVmCallbacks callbacks;
    gpointer user;
    DinvVmState state;
    gboolean failed;
    gboolean share_lost; /* nobody serves a mount any more */
    gboolean stop_asked; /* by our owner */
    gboolean quitting;   /* the machine was told to end without the guest */
    gboolean exited;     /* the machine is gone: what the guest still says leads to nothing new */
    gboolean damaged[DINV_STATE_DISK_KINDS];
    char *paused;                /* why the machine stands still; NULL if it does not */
    const char *unready;         /* why it is not to be used yet; NULL: it may be */
    DinvHostOomKills oom_before; /* when the machine was started */
    gboolean guest_clean;        /* the guest said that its file systems are */
    guint deadline_source;
    guint clock_source;
    int clock_fd;
    gboolean clock_asked; /* the guest was told the time and has not answered */
    guint stop_timeout_ms;
    DinvMachine *machine;
    DinvVmConsole *console;
    DinvVmControl *control;
    DinvVmRelay *relay;
    DinvVmEndpoints *endpoints;
    DinvNetworkPublisher *publisher;
    DinvDnsForwarder *resolver; /* NULL: not yet, or it cannot listen */
    GArray *phases;
    char *guest_version;
    char *guest_kernel;
    char *engine_version;
    gint64 guest_hello_us;     /* the guest's own clock when its PID 1 began */
    gint64 guest_log_start_us; /* of the window that guest_log_lines counts in */
    guint guest_log_lines;
};

/* The fields of `configure`. Starts the DNS forwarder that they tell of; later changes of the outer
 * container's search domains and options are then told to the guest. Transfer full. */
struct json_object *dinv_vm_make_configuration(DinvVm *vm);

/* Tells the guest the time now and then, once it is configured. */
void dinv_vm_start_clock(DinvVm *vm);
void dinv_vm_stop_clock(DinvVm *vm);
/* Now, if it is configured and runs. */
void dinv_vm_tell_time(DinvVm *vm);

/* By DinvVmState. */
extern const char *const dinv_vm_state_names[];

/* SPDX-License-Identifier: MIT */
/* What the files of a vm share (vm.c and those that its functions below are in); not for others. */
#pragma once

#include "launcher/dns/forwarder.h"
#include "launcher/host/limits.h"
#include "launcher/network/publisher.h"
#include "launcher/vm/console.h"
#include "launcher/vm/control.h"
#include "launcher/vm/endpoints.h"
#include "launcher/vm/vm.h"

/* Where the outer container's resolvers, search domains and own names are. */
#define DINV_VM_RESOLV_CONF "/etc/resolv.conf"
#define DINV_VM_HOSTS       "/etc/hosts"
/* What e2fsck may take with a damaged disk of any size. */
#define DINV_VM_DISK_CHECK_MS (60u * 60u * 1000u)

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
    gboolean lost;       /* something it cannot do without: the guest is stopped in order */
    gboolean share_lost; /* that is a mount, which nobody serves any more */
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
    char *usernet_net; /* of the plan below */
    DinvNetworkUsernetPlan usernet_plan;
    DinvNetworkUsernet *usernet;
    DinvVmConsole *console;
    DinvVmControl *control;
    DinvVmRelay *relay;         /* NULL before hello */
    DinvVmEndpoints *endpoints; /* borrowed; NULL: not started */
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

/* --- states.c --- */

/* By DinvVmState. */
extern const char *const dinv_vm_state_names[];

/* The one place where the state changes; `state` must be one that may follow. */
void dinv_vm_set_state(DinvVm *vm, DinvVmState state);

/* An array for phases that frees their names. Transfer full. */
GArray *dinv_vm_phases_new(void);
/* Notes that a step of the start is done now. `name` is the guest's and untrusted. */
void dinv_vm_add_phase(DinvVm *vm, const char *name);

/* --- stopping.c --- */

/* To STOPPING. The guest has `timeout_ms` to power off by itself; 0: it is not going to, and the
 * machine is told to quit. */
void dinv_vm_begin_stopping(DinvVm *vm, guint timeout_ms);

/* Asks the guest to stop its containers, write its disks and power off. One that cannot be asked
 * yet has nothing to put in order, and is ended at once. Is no stop of the owner's
 * (dinv_vm_stop). */
void dinv_vm_stop_in_order(DinvVm *vm, guint timeout_ms);

/* The vm is of no use any more, and its machine is told to quit. The cause was logged. */
void dinv_vm_fail(DinvVm *vm);

/* From now on the boot may take that long. */
void dinv_vm_set_boot_deadline(DinvVm *vm, guint timeout_ms);

/* --- machine-events.c, guest-events.c --- */

extern const DinvMachineCallbacks dinv_vm_machine_callbacks;
extern const DinvVmControlCallbacks dinv_vm_control_callbacks;

/* There is no network any more; a declared port cannot be forwarded. `user` is the vm. */
void dinv_vm_on_network_lost(const char *text, gpointer user);
void dinv_vm_on_port_failed(const char *text, gpointer user);

/* Logs the last lines of the guest's console, if there are any. */
void dinv_vm_log_console_tail(DinvVm *vm);

/* --- resolver.c, configure.c --- */

/* Starts the DNS forwarder; later changes of the outer container's search domains and options are
 * then told to the guest. A failure is logged: the guest can do without, as SLIRP has a resolver,
 * too. */
void dinv_vm_start_resolver(DinvVm *vm);

/* Sends `configure`, which names the DNS forwarder if there is one. The reply leads to ENGINE. */
void dinv_vm_configure(DinvVm *vm);

/* --- clock.c --- */

/* Tells the guest the time now and then, once it is configured. */
void dinv_vm_start_clock(DinvVm *vm);
void dinv_vm_stop_clock(DinvVm *vm);
/* Tells the guest the time now, if it is configured and runs. */
void dinv_vm_tell_time(DinvVm *vm);

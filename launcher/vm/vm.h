/* SPDX-License-Identifier: MIT */
/*
 * The life of one microVM: machine, network, console, control channel, relay and the docker.sock
 * listener, from "nothing runs" over "engine answers" to "gone". It says what happens in the log;
 * its owner (launcher/cli/run.c) decides what follows.
 *
 * The room launcher/vm: what happens between the start of one machine and its end, on either side
 * of its channels. It is told what to do by a plan and by the configuration, and looks for nothing
 * in the host that a check before the start could have found; verbs, exit statuses and signals are
 * launcher/cli's and may not enter.
 *
 * All of it runs in the default GMainContext. It never waits for the guest, for a client, or for
 * the reader of DINV_DOCKERD_LOG. What it does wait for: stderr, where the log goes; the disk under
 * DINV_STATE_DIR and DINV_DOCKERD_LOG, where it writes the console and the engine's log; reading
 * /etc/resolv.conf and /etc/hosts; and in dinv_vm_free() the kernel, which ends a machine that
 * still runs. Certificates are there before it starts.
 *
 *   STARTING -> BOOTING -> CONFIGURING -> ENGINE -> READY -> STOPPING -> STOPPED
 *
 * BOOTING waits for the guest's hello, CONFIGURING for its reply to `configure`, ENGINE for its
 * `ready`. From each of them a failure, the boot deadline or dinv_vm_stop() leads to STOPPING, and
 * the machine's end to STOPPED.
 */
#pragma once

#include <gio/gio.h>
#include <json-c/json.h>

#include "launcher/engine/network-plan.h"
#include "launcher/machine/machine.h"
#include "launcher/network/usernet.h"
#include "launcher/state/directory.h"
#include "launcher/vm/endpoints.h"
#include "launcher/vm/relay.h"

typedef struct DinvVm DinvVm;

typedef enum {
    DINV_VM_STARTING,
    DINV_VM_BOOTING,
    DINV_VM_CONFIGURING,
    DINV_VM_ENGINE,
    DINV_VM_READY,
    DINV_VM_STOPPING,
    DINV_VM_STOPPED,
} DinvVmState;

typedef struct {
    /* The engine answered: docker.sock serves. At most once. */
    void (*ready)(DinvVm *vm, gpointer user);
    /* The machine is gone; the last callback. `failed`: not because it was asked to stop. The cause
     * was logged. */
    void (*stopped)(DinvVm *vm, gboolean failed, gpointer user);
} DinvVmCallbacks;

/* The plans and `engine` are borrowed for the vm's whole life, `callbacks` copied. Starts nothing
 * yet. */
DinvVm *dinv_vm_new(const DinvMachinePlan *plan, const DinvEngineConfig *engine,
                    const DinvEngineNetworkPlan *network, const DinvVmCallbacks *callbacks,
                    gpointer user);

/* Spawns the machine. `endpoints` are bound, and served when the engine answers; they are borrowed
 * for the vm's whole life, and passed the relay's last bytes on when they are freed after it. On
 * failure nothing else is left behind and no callback comes. */
gboolean dinv_vm_start(DinvVm *vm, DinvVmEndpoints *endpoints,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The owner's request to stop in order within `timeout_ms`: dockerd and its containers, file
 * systems, power. A second call, or the deadline, ends the machine at once; so does the first
 * before the guest can be asked. A guest that is ending already, after a failure of its own or
 * because a mount was lost, goes on with that: the first call changes nothing then. `stopped`
 * follows. */
void dinv_vm_stop(DinvVm *vm, guint timeout_ms);

DinvVmState dinv_vm_get_state(const DinvVm *vm);

/* Why the vm is of no use to others yet although its engine answers, for `dinv health`; NULL: it
 * is. A static string. */
void dinv_vm_set_unready(DinvVm *vm, const char *reason);

/* The relay for streams to the guest's services; NULL unless READY or STOPPING. Borrowed. */
DinvVmRelay *dinv_vm_get_relay(DinvVm *vm);

/* The guest's network; NULL unless the machine runs. Borrowed. */
DinvNetworkUsernet *dinv_vm_get_usernet(DinvVm *vm);

/* Whether the guest said that the disk is beyond repair, and so did not start. */
gboolean dinv_vm_found_damaged(const DinvVm *vm, DinvStateDisk kind);

/* What `dinv status --json` prints, with the guest's own figures if it answers within two seconds.
 * `callback` runs later or from within the call; `status` is borrowed. */
void dinv_vm_get_status(DinvVm *vm, void (*callback)(struct json_object *status, gpointer user),
                        gpointer user);

/* Kills what still runs. */
void dinv_vm_free(DinvVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVm, dinv_vm_free)

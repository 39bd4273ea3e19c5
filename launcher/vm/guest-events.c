/* SPDX-License-Identifier: MIT */
/*
 * What the guest says on the control channel: the steps of its start, its log, its failures, and
 * its requests. Nothing of it is trusted: texts are made printable before they are shown, and what
 * comes in a state in which it makes no sense is passed over.
 */
#include <string.h>

#include "launcher/base/log.h"
#include "launcher/engine/reason.h"
#include "launcher/vm/internal.h"
#include "wire/control.h"
#include "wire/disks.h"
#include "wire/services.h"
#include "wire/verbs.h"

/* Lines of the guest that reach the log in one window of time. */
#define GUEST_LOG_LINES     100u
#define GUEST_LOG_WINDOW_US (60 * (gint64)G_USEC_PER_SEC)

static void guest_on_relay_closed(gpointer user) {
    DinvVm *vm = user;
    dinv_log(DINV_LOG_DEBUG, "vm: relay channel closed in state %s",
             dinv_vm_state_names[vm->state]);
}

static void guest_on_hello(gint64 protocol, const char *version, const char *kernel,
                           gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    if (vm->state != DINV_VM_BOOTING || vm->exited) {
        return;
    }
    if (protocol != DINV_WIRE_CONTROL_VERSION) {
        dinv_log(DINV_LOG_ERROR,
                 "the guest image \"%s\" speaks control protocol %" G_GINT64_FORMAT
                 ", this dinv speaks %d; build the image anew with \"dinv image build\"",
                 vm->plan->config->rootfs, protocol, DINV_WIRE_CONTROL_VERSION);
        dinv_vm_fail(vm);
        return;
    }
    vm->guest_version = dinv_log_printable_line(version);
    vm->guest_kernel = dinv_log_printable_line(kernel);
    vm->guest_hello_us = uptime_us;
    dinv_vm_add_phase(vm, "hello");
    dinv_vm_set_state(vm, DINV_VM_CONFIGURING);
    dinv_log_waiting_for("the guest to set itself up");
    /* Not sooner: what comes to a terminal before the guest has taken every meaning out of its
     * bytes is altered, and answered. The guest has both channels before it says hello. */
    vm->relay = dinv_vm_relay_new(dinv_machine_take_relay_fd(vm->machine),
                                  DINV_VM_RELAY_STREAMS_MOST, guest_on_relay_closed, vm);
    dinv_vm_start_resolver(vm);
    dinv_vm_configure(vm);
    dinv_vm_start_clock(vm);
}

/* The time that a check of a disk takes does not count as that of the boot. */
static void guest_on_phase(const char *name, gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    (void)uptime_us;
    dinv_vm_add_phase(vm, name);
    if (vm->state != DINV_VM_CONFIGURING || vm->exited) {
        return;
    }
    if (strcmp(name, DINV_WIRE_PHASE_CHECKING_DISK) == 0) {
        dinv_vm_set_boot_deadline(vm, DINV_VM_DISK_CHECK_MS);
        dinv_log_waiting_for("the check of a disk");
    } else if (strcmp(name, DINV_WIRE_PHASE_DISK_CHECKED) == 0) {
        dinv_vm_set_boot_deadline(vm, vm->plan->config->boot_timeout_ms);
        dinv_log_waiting_for("the guest to set itself up");
    }
}

static void guest_on_damaged(const char *disk, gpointer user) {
    static const char *const serials[DINV_STATE_DISK_KINDS] = {
        [DINV_STATE_DISK_DATA] = DINV_WIRE_DISK_DATA,
        [DINV_STATE_DISK_VOLUME] = DINV_WIRE_DISK_VOLUME};
    DinvVm *vm = user;
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        /* Later the disk is in use, and was good enough for that. */
        if (vm->state == DINV_VM_CONFIGURING && strcmp(disk, serials[kind]) == 0) {
            vm->damaged[kind] = TRUE;
        }
    }
}

static void vm_on_docker_client(int fd, gpointer user) {
    DinvVm *vm = user;
    g_autoptr(GError) error = NULL;
    if (!dinv_vm_relay_bridge(vm->relay, DINV_WIRE_SERVICE_DOCKER, NULL, 0, fd, &error)) {
        dinv_log(DINV_LOG_WARNING, "a client of the engine was turned away: %s", error->message);
    }
}

static void guest_on_ready(const char *engine, gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    (void)uptime_us;
    /* The reply to `configure` may still be on its way, behind this event. */
    if (vm->state == DINV_VM_CONFIGURING) {
        dinv_vm_set_state(vm, DINV_VM_ENGINE);
    }
    if (vm->state != DINV_VM_ENGINE || vm->exited) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_vm_set_state(vm, DINV_VM_READY);
    vm->engine_version = dinv_log_printable_line(engine);
    dinv_vm_add_phase(vm, "ready");
    dinv_log_waiting_for(NULL);
    g_autofree char *places = dinv_vm_endpoints_to_string(vm->endpoints);
    dinv_log(DINV_LOG_INFO, "ready: Docker %s on %s", vm->engine_version, places);
    dinv_vm_endpoints_serve(vm->endpoints, vm_on_docker_client, vm);
    vm->callbacks.ready(vm, vm->user);
}

/* A guest that floods its log fills neither ours nor the disk under it. */
static gboolean may_guest_log(DinvVm *vm) {
    gint64 now = g_get_monotonic_time();
    if (vm->guest_log_lines == 0 || now - vm->guest_log_start_us > GUEST_LOG_WINDOW_US) {
        vm->guest_log_start_us = now;
        vm->guest_log_lines = 0;
    }
    vm->guest_log_lines++;
    if (vm->guest_log_lines == GUEST_LOG_LINES + 1) {
        dinv_log(DINV_LOG_WARNING, "the guest says too much, dropping the rest of this minute");
    }
    return vm->guest_log_lines <= GUEST_LOG_LINES;
}

static void guest_on_log(DinvLogLevel level, const char *text, gpointer user) {
    DinvVm *vm = user;
    if (level <= vm->plan->config->log_level && may_guest_log(vm)) {
        g_autofree char *printable = dinv_log_printable_line(text);
        dinv_log(level, "guest: %s", printable);
    }
}

static void guest_on_failed(const char *what, const char *text, const char *log, gpointer user) {
    DinvVm *vm = user;
    g_autofree char *printable_what = dinv_log_printable_line(what);
    g_autofree char *printable_text = dinv_log_printable_line(text);
    if (vm->state >= DINV_VM_STOPPING) {
        return;
    }
    g_autofree char *reason = log != NULL ? dinv_engine_reason(log) : NULL;
    if (log != NULL && log[0] != '\0') {
        g_autofree char *printable_log = dinv_log_printable(log);
        g_strchomp(printable_log);
        /* The reason alone says it, where there is one. */
        dinv_log(reason != NULL ? DINV_LOG_INFO : DINV_LOG_ERROR,
                 "the last lines of dockerd's log:\n%s", printable_log);
    }
    dinv_log(DINV_LOG_ERROR, "the guest failed (%s): %s%s%s", printable_what, printable_text,
             reason != NULL ? ": " : "", reason != NULL ? reason : "");
    /* It unmounts and powers off by itself; the deadline is for one that does not. */
    vm->failed = TRUE;
    dinv_vm_begin_stopping(vm, MAX(vm->plan->config->shutdown_timeout_ms, 1));
}

static void guest_on_exiting(gboolean clean, gpointer user) {
    DinvVm *vm = user;
    vm->guest_clean = clean;
}

/* --- Requests of the guest --- */

typedef struct {
    DinvVm *vm;
    gint64 id;
} GuestRequest;

static void guest_on_published(const char *error, gpointer user) {
    g_autofree GuestRequest *request = user;
    dinv_vm_control_reply(request->vm->control, request->id, error);
}

static void guest_on_request(gint64 id, const char *verb, struct json_object *message,
                             gpointer user) {
    DinvVm *vm = user;
    GuestRequest *request = g_new0(GuestRequest, 1);
    *request = (GuestRequest){.vm = vm, .id = id};
    if (vm->exited) {
        guest_on_published("the machine is gone", request);
    } else if (strcmp(verb, DINV_WIRE_VERB_PUBLISH) == 0) {
        dinv_network_publisher_publish(vm->publisher, message, guest_on_published, request);
    } else if (strcmp(verb, DINV_WIRE_VERB_UNPUBLISH) == 0) {
        dinv_network_publisher_unpublish(vm->publisher, message, guest_on_published, request);
    } else {
        guest_on_published("unknown verb", request);
    }
}

static void guest_on_control_closed(gpointer user) {
    DinvVm *vm = user;
    dinv_log(DINV_LOG_DEBUG, "vm: control channel closed in state %s",
             dinv_vm_state_names[vm->state]);
}

const DinvVmControlCallbacks dinv_vm_control_callbacks = {
    .hello = guest_on_hello,
    .phase = guest_on_phase,
    .ready = guest_on_ready,
    .log = guest_on_log,
    .failed = guest_on_failed,
    .exiting = guest_on_exiting,
    .damaged = guest_on_damaged,
    .request = guest_on_request,
    .closed = guest_on_control_closed,
};

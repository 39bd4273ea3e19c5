/* SPDX-License-Identifier: MIT */
/*
 * The ways to STOPPING: a stop that the owner asks for, one after a lost mount, a failure, and the
 * two deadlines. In order (the guest is asked, and the stop deadline runs) or at once.
 */
#include "launcher/base/log.h"
#include "launcher/vm/internal.h"
#include "wire/verbs.h"

/* Ends the machine without the guest. */
static void quit_machine(DinvVm *vm) {
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    vm->quitting = TRUE;
    dinv_machine_quit(vm->machine);
}

static gboolean vm_on_stop_deadline(gpointer user) {
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_WARNING,
             "the guest did not power off within %g s (DINV_SHUTDOWN_TIMEOUT is %g s), ending it "
             "now",
             vm->stop_timeout_ms / 1000.0, vm->plan->config->shutdown_timeout_ms / 1000.0);
    quit_machine(vm);
    return G_SOURCE_REMOVE;
}

void dinv_vm_begin_stopping(DinvVm *vm, guint timeout_ms) {
    dinv_vm_set_state(vm, DINV_VM_STOPPING);
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_vm_endpoints_stop_listening(vm->endpoints);
    dinv_log_waiting_for("the guest to stop its containers and power off");
    if (timeout_ms > 0) {
        vm->stop_timeout_ms = timeout_ms;
        vm->deadline_source = g_timeout_add(timeout_ms, vm_on_stop_deadline, vm);
    } else {
        quit_machine(vm);
    }
}

void dinv_vm_fail(DinvVm *vm) {
    if (vm->state < DINV_VM_STOPPING) {
        vm->failed = TRUE;
        dinv_vm_begin_stopping(vm, 0);
    }
}

void dinv_vm_stop_in_order(DinvVm *vm, guint timeout_ms) {
    dinv_log(DINV_LOG_INFO, "stopping");
    if (vm->state < DINV_VM_CONFIGURING) {
        dinv_vm_begin_stopping(vm, 0);
        return;
    }
    /* The guest gets a little less, so that it can still sync and unmount after its deadline. */
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "deadline_ms",
                           json_object_new_int64((gint64)(timeout_ms - timeout_ms / 4)));
    if (vm->share_lost) {
        json_object_object_add(fields, "abandon_shares", json_object_new_boolean(TRUE));
    }
    dinv_vm_control_request(vm->control, DINV_WIRE_VERB_SHUTDOWN, fields, timeout_ms, NULL, NULL);
    dinv_vm_begin_stopping(vm, MAX(timeout_ms, 1));
}

void dinv_vm_stop(DinvVm *vm, guint timeout_ms) {
    if (vm->state == DINV_VM_STOPPED || vm->state == DINV_VM_STARTING || vm->quitting) {
        return;
    }
    if (vm->stop_asked) {
        dinv_log(DINV_LOG_WARNING, "asked to stop again: ending the guest at once");
        quit_machine(vm);
        return;
    }
    vm->stop_asked = TRUE;
    if (vm->state == DINV_VM_STOPPING) {
        return;
    }
    dinv_vm_stop_in_order(vm, timeout_ms);
}

static gboolean vm_on_boot_deadline(gpointer user) {
    static const char *const missing[] = {
        [DINV_VM_BOOTING] = "the guest's agent has not said hello",
        [DINV_VM_CONFIGURING] = "the guest has not taken its configuration",
        [DINV_VM_ENGINE] = "the Docker engine in the guest has not answered",
    };
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_ERROR, "%s within %g s (DINV_BOOT_TIMEOUT), giving up", missing[vm->state],
             vm->plan->config->boot_timeout_ms / 1000.0);
    dinv_vm_log_console_tail(vm);
    dinv_vm_fail(vm);
    return G_SOURCE_REMOVE;
}

void dinv_vm_set_boot_deadline(DinvVm *vm, guint timeout_ms) {
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    vm->deadline_source = g_timeout_add(timeout_ms, vm_on_boot_deadline, vm);
}

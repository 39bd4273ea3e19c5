/* SPDX-License-Identifier: MIT */
/* The states of a vm, which may follow which, and the phases of its start with their times. */
#include "launcher/base/log.h"
#include "launcher/vm/internal.h"

#define PHASES_MAX 64u

const char *const dinv_vm_state_names[] = {
    "starting", "booting", "configuring", "engine-starting", "ready", "stopping", "stopped",
};

/* Which states may follow, as bits. */
static const guint transitions[] = {
    [DINV_VM_STARTING] = 1u << DINV_VM_BOOTING,
    [DINV_VM_BOOTING] = 1u << DINV_VM_CONFIGURING | 1u << DINV_VM_STOPPING | 1u << DINV_VM_STOPPED,
    [DINV_VM_CONFIGURING] = 1u << DINV_VM_ENGINE | 1u << DINV_VM_STOPPING | 1u << DINV_VM_STOPPED,
    [DINV_VM_ENGINE] = 1u << DINV_VM_READY | 1u << DINV_VM_STOPPING | 1u << DINV_VM_STOPPED,
    [DINV_VM_READY] = 1u << DINV_VM_STOPPING | 1u << DINV_VM_STOPPED,
    [DINV_VM_STOPPING] = 1u << DINV_VM_STOPPED,
    [DINV_VM_STOPPED] = 0,
};

void dinv_vm_set_state(DinvVm *vm, DinvVmState state) {
    g_assert((transitions[vm->state] & (1u << state)) != 0);
    dinv_log(DINV_LOG_DEBUG, "vm: %s -> %s", dinv_vm_state_names[vm->state],
             dinv_vm_state_names[state]);
    vm->state = state;
}

void dinv_vm_add_phase(DinvVm *vm, const char *name) {
    /* A guest that sends phases without end must not grow us. */
    if (vm->phases->len < PHASES_MAX) {
        DinvVmPhase phase = {dinv_log_printable_line(name), dinv_log_elapsed()};
        g_array_append_val(vm->phases, phase);
        dinv_log(DINV_LOG_DEBUG, "phase: %s", phase.name);
    }
}

static void phase_clear(gpointer data) {
    g_free(((DinvVmPhase *)data)->name);
}

GArray *dinv_vm_phases_new(void) {
    GArray *phases = g_array_new(FALSE, FALSE, sizeof(DinvVmPhase));
    g_array_set_clear_func(phases, phase_clear);
    return phases;
}

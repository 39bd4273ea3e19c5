/* SPDX-License-Identifier: MIT */
/* What the machine says: that it ended, paused, or lost a mount; how its end is told; and that the
 * network is lost, which leads to the same. */
#include <string.h>
#include <sys/wait.h>

#include "launcher/base/log.h"
#include "launcher/vm/internal.h"

/* The last line of a panic comes after a stack trace. */
#define CONSOLE_TAIL_LINES 40u

void dinv_vm_log_console_tail(DinvVm *vm) {
    if (vm->console == NULL) {
        return;
    }
    dinv_vm_console_drain(vm->console);
    g_autofree char *tail = dinv_vm_console_get_tail(vm->console, CONSOLE_TAIL_LINES);
    if (tail[0] != '\0') {
        dinv_log(DINV_LOG_ERROR, "the last lines of the guest's console (%s/console.log):\n%s",
                 vm->plan->config->state_dir, tail);
    }
}

/* Tells how the machine ended without being asked to, and the console's last lines. */
static void log_exit(DinvVm *vm, const DinvMachineExit *exit, DinvLogLevel level) {
    const char *program = vm->plan->program;
    g_autofree char *message = dinv_log_printable(exit->message);
    g_strchomp(message);
    const char *separator = message[0] != '\0' ? ": " : "";
    if (exit->kind == DINV_MACHINE_EXIT_POWEROFF) {
        dinv_log(level, "the guest powered off by itself");
    } else if (exit->kind == DINV_MACHINE_EXIT_RESET) {
        dinv_log(level, "the guest's kernel panicked or rebooted");
    } else if (WIFSIGNALED(exit->wait_status)) {
        int signal_number = WTERMSIG(exit->wait_status);
        g_autofree char *cause =
            signal_number == SIGKILL
                ? dinv_host_limits_explain_kill("", &vm->oom_before, vm->plan->config->memory_bytes)
                : NULL;
        dinv_log(level, "%s was killed by signal %d (%s)%s%s%s%s", program, signal_number,
                 strsignal(signal_number), cause != NULL ? "; " : "", cause != NULL ? cause : "",
                 separator, message);
    } else {
        dinv_log(level, "%s ended with status %d%s%s", program, WEXITSTATUS(exit->wait_status),
                 separator, message);
    }
    dinv_vm_log_console_tail(vm);
}

/* Tells the end that was asked for. An accident on the way is told too, but is no failure: what the
 * vm was for is done, and the status of a command that has ended stands. */
static void log_stopped(DinvVm *vm, const DinvMachineExit *exit) {
    gboolean accident =
        exit->kind == DINV_MACHINE_EXIT_RESET || exit->kind == DINV_MACHINE_EXIT_DIED;
    if (accident && !vm->quitting) {
        log_exit(vm, exit, DINV_LOG_WARNING);
    }
    if (vm->guest_version == NULL) {
        dinv_log(DINV_LOG_INFO, "stopped"); /* no hello, so the disk was not even mounted */
    } else if (exit->kind == DINV_MACHINE_EXIT_POWEROFF && vm->guest_clean) {
        dinv_log(DINV_LOG_INFO, "stopped; the data disk is clean");
    } else {
        dinv_log(DINV_LOG_INFO, "stopped; the data disk's journal is replayed at the next start");
    }
}

static void vm_on_machine_exited(DinvMachine *machine, const DinvMachineExit *exit, gpointer user) {
    DinvVm *vm = user;
    (void)machine;
    /* The guest's last words, a cause perhaps, may still lie in the channels. */
    vm->exited = TRUE;
    dinv_vm_control_drain(vm->control);
    dinv_vm_console_drain(vm->console);
    dinv_vm_stop_clock(vm);
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_log_waiting_for(NULL);
    if (vm->state != DINV_VM_STOPPING) {
        log_exit(vm, exit, DINV_LOG_ERROR);
        vm->failed = TRUE;
    } else if (!vm->failed || vm->lost) {
        log_stopped(vm, exit);
    }
    dinv_vm_set_state(vm, DINV_VM_STOPPED);
    dinv_vm_endpoints_stop_listening(vm->endpoints);
    vm->callbacks.stopped(vm, vm->failed, vm->user);
}

static void vm_on_machine_paused(DinvMachine *machine, gboolean paused, const char *reason,
                                 gpointer user) {
    DinvVm *vm = user;
    (void)machine;
    g_clear_pointer(&vm->paused, g_free);
    if (paused) {
        vm->paused = dinv_log_printable_line(reason);
        dinv_log(DINV_LOG_ERROR, "the guest is paused: %s", vm->paused);
    } else {
        dinv_log(DINV_LOG_INFO, "the guest goes on");
        dinv_vm_tell_time(vm); /* its clock stood still */
    }
}

/* The guest can still stop its containers and write its disks. This is no stop of the owner's: his
 * first one leaves it alone. */
static void stop_after_loss(DinvVm *vm, const char *text, const char *what) {
    g_autofree char *printable = dinv_log_printable_line(text);
    dinv_log(DINV_LOG_ERROR, "%s; the %s is lost, stopping the guest", printable, what);
    vm->failed = TRUE;
    vm->lost = TRUE;
    dinv_vm_stop_in_order(vm, vm->plan->config->shutdown_timeout_ms);
}

static void vm_on_machine_lost(DinvMachine *machine, const char *text, gpointer user) {
    DinvVm *vm = user;
    (void)machine;
    if (vm->state < DINV_VM_STOPPING) {
        vm->share_lost = TRUE;
        stop_after_loss(vm, text, "mount");
    }
}

void dinv_vm_on_network_lost(const char *text, gpointer user) {
    DinvVm *vm = user;
    if (vm->state < DINV_VM_STOPPING) {
        stop_after_loss(vm, text, "network");
    }
}

void dinv_vm_on_port_failed(const char *text, gpointer user) {
    dinv_log(DINV_LOG_ERROR, "a port of DINV_TCP_PORTS or DINV_UDP_PORTS cannot be forwarded: %s",
             text);
    dinv_vm_fail(user);
}

const DinvMachineCallbacks dinv_vm_machine_callbacks = {
    .exited = vm_on_machine_exited, .lost = vm_on_machine_lost, .paused = vm_on_machine_paused};

/* SPDX-License-Identifier: MIT */
/* What machine.h promises, as far as all kinds do the same; the rest is asked of the kind. */
#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/machine/implementation.h"

/* ---- channels ---- */

void dinv_machine_close_fds(int *fds, gsize count) {
    for (gsize i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
            fds[i] = -1;
        }
    }
}

gboolean dinv_machine_make_channel(int *ours, int *theirs, GError **error) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        int number = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number),
                    "cannot make a socket pair for the machine: %s", g_strerror(number));
        return FALSE;
    }
    if (!g_unix_set_fd_nonblocking(pair[0], TRUE, error)) {
        dinv_machine_close_fds(pair, G_N_ELEMENTS(pair));
        return FALSE;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return TRUE;
}

gboolean dinv_machine_open_channels(DinvMachine *machine, int *theirs, GError **error) {
    for (guint i = 0; i < DINV_MACHINE_CHANNEL_COUNT; i++) {
        theirs[i] = -1;
    }
    for (guint i = 0; i < DINV_MACHINE_CHANNEL_COUNT; i++) {
        if (!dinv_machine_make_channel(&machine->channels[i], &theirs[i], error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static int take_channel(DinvMachine *machine, DinvMachineChannel channel) {
    int fd = machine->channels[channel];
    machine->channels[channel] = -1;
    return fd;
}

int dinv_machine_take_control_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_MACHINE_CHANNEL_CONTROL);
}

int dinv_machine_take_relay_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_MACHINE_CHANNEL_RELAY);
}

int dinv_machine_take_console_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_MACHINE_CHANNEL_CONSOLE);
}

/* ---- life ---- */

DinvMachine *dinv_machine_new(const DinvMachinePlan *plan, const DinvMachineCallbacks *callbacks,
                              gpointer user) {
    DinvMachine *machine = g_malloc0(plan->ops->size);
    machine->ops = plan->ops;
    machine->plan = plan;
    machine->callbacks = *callbacks;
    machine->user = user;
    for (guint i = 0; i < DINV_MACHINE_CHANNEL_COUNT; i++) {
        machine->channels[i] = -1;
    }
    return machine;
}

gboolean dinv_machine_start(DinvMachine *machine, int network_fd, GError **error) {
    g_assert(machine->process == NULL);
    if (!machine->ops->start(machine, network_fd, error)) {
        g_clear_pointer(&machine->virtiofs, dinv_machine_virtiofs_free);
        dinv_machine_close_fds(machine->channels, DINV_MACHINE_CHANNEL_COUNT);
        return FALSE;
    }
    return TRUE;
}

GPid dinv_machine_get_pid(const DinvMachine *machine) {
    return machine->process == NULL ? 0 : dinv_machine_process_get_pid(machine->process);
}

const char *dinv_machine_get_confinement(const DinvMachine *machine) {
    return machine->confinement;
}

DinvMachineKvmState dinv_machine_get_kvm_state(const DinvMachine *machine) {
    return machine->kvm_state;
}

void dinv_machine_quit(DinvMachine *machine) {
    if (dinv_machine_get_pid(machine) == 0 || machine->asked_to_end) {
        return;
    }
    machine->asked_to_end = TRUE;
    machine->ops->quit(machine);
}

void dinv_machine_note_trouble(DinvMachine *machine, const char *text) {
    if (machine->trouble == NULL) {
        machine->trouble = g_strdup(text);
    }
}

void dinv_machine_tell_exit(DinvMachine *machine, DinvMachineExitKind kind) {
    const char *text = dinv_machine_process_get_stderr(machine->process);
    g_autofree char *message =
        machine->trouble == NULL
            ? g_strdup(text)
            : g_strconcat(machine->trouble, *text != '\0' ? "\n" : "", text, NULL);
    const DinvMachineExit exit = {
        .kind = kind, .wait_status = machine->wait_status, .message = message};
    g_clear_handle_id(&machine->lost_share_source, g_source_remove);
    if (machine->callbacks.exited != NULL) {
        machine->callbacks.exited(machine, &exit, machine->user);
    }
}

void dinv_machine_free(DinvMachine *machine) {
    if (machine == NULL) {
        return;
    }
    machine->ops->clear(machine);
    g_clear_handle_id(&machine->lost_share_source, g_source_remove);
    dinv_machine_process_free(machine->process);
    dinv_machine_close_fds(machine->channels, DINV_MACHINE_CHANNEL_COUNT);
    dinv_machine_virtiofs_free(machine->virtiofs);
    g_free(machine->confinement);
    g_free(machine->lost_share);
    g_free(machine->trouble);
    g_free(machine);
}

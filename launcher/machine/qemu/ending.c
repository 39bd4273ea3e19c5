/* SPDX-License-Identifier: MIT */
/*
 * How a QEMU machine ends. Its process and its QMP connection end separately, in either order, and
 * both have to before it is known how: see "Theory of operation" in qemu.c.
 */
#include <string.h>
#include <sys/wait.h>

#include "launcher/machine/qemu/internal.h"

static DinvMachineExitKind exit_kind(const DinvMachine *machine) {
    gboolean regular = WIFEXITED(machine->wait_status) && WEXITSTATUS(machine->wait_status) == 0;
    if (regular && machine->shutdown == DINV_QEMU_SHUTDOWN_GUEST) {
        return DINV_MACHINE_EXIT_POWEROFF;
    }
    if (regular && machine->shutdown == DINV_QEMU_SHUTDOWN_RESET) {
        return DINV_MACHINE_EXIT_RESET;
    }
    /* Also when it had to be killed, or died of it. */
    if (machine->asked_to_end || (regular && machine->shutdown == DINV_QEMU_SHUTDOWN_QUIT)) {
        return DINV_MACHINE_EXIT_QUIT;
    }
    return DINV_MACHINE_EXIT_DIED;
}

void dinv_qemu_clear_timers(DinvMachine *machine) {
    g_clear_handle_id(&machine->end_source, g_source_remove);
    g_clear_handle_id(&machine->retry_source, g_source_remove);
    g_clear_handle_id(&machine->resume_source, g_source_remove);
    g_clear_handle_id(&machine->lost_share_source, g_source_remove);
}

/* Calls `exited`; the machine may be freed afterwards. */
static void tell_exit(DinvMachine *machine) {
    const char *text = dinv_machine_process_get_stderr(machine->process);
    DinvMachineExit exit = {.kind = exit_kind(machine), .wait_status = machine->wait_status};
    dinv_qemu_clear_timers(machine);
    g_autofree char *message =
        machine->trouble == NULL
            ? g_strdup(text)
            : g_strconcat(machine->trouble, *text != '\0' ? "\n" : "", text, NULL);
    exit.message = message;
    g_clear_pointer(&machine->qmp, dinv_qmp_client_free);
    if (machine->callbacks.exited != NULL) {
        machine->callbacks.exited(machine, &exit, machine->user);
    }
}

static gboolean qemu_on_end_deadline(gpointer user) {
    DinvMachine *machine = user;
    machine->end_source = 0;
    if (machine->process_gone) {
        tell_exit(machine); /* somebody else holds QEMU's end of QMP */
    } else {
        dinv_machine_process_kill(machine->process);
    }
    return G_SOURCE_REMOVE;
}

void dinv_qemu_expect_end(DinvMachine *machine) {
    if (machine->end_source == 0) {
        machine->end_source = g_timeout_add(DINV_QEMU_EXIT_GRACE_MS, qemu_on_end_deadline, machine);
    }
}

void dinv_qemu_note_trouble(DinvMachine *machine, const char *text) {
    if (machine->trouble == NULL) {
        machine->trouble = g_strdup(text);
    }
}

void dinv_qemu_on_process_gone(DinvMachineProcess *process G_GNUC_UNUSED, int wait_status,
                               gpointer user) {
    DinvMachine *machine = user;
    machine->process_gone = TRUE;
    machine->wait_status = wait_status;
    dinv_qemu_clear_timers(machine);
    if (machine->qmp_gone) {
        tell_exit(machine);
    } else {
        dinv_qemu_expect_end(machine);
    }
}

void dinv_qemu_on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                               gpointer user) {
    DinvMachine *machine = user;
    machine->qmp_gone = TRUE;
    if (!g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED)) {
        dinv_qemu_note_trouble(machine, error->message);
    }
    if (machine->process_gone) {
        tell_exit(machine);
    } else {
        dinv_qemu_expect_end(machine);
    }
}

void dinv_qemu_on_shutdown(DinvMachine *machine, struct json_object *data) {
    const char *reason = dinv_qemu_get_text(data, "reason");
    if (machine->shutdown != DINV_QEMU_SHUTDOWN_NONE || reason == NULL) {
        return;
    }
    if (strcmp(reason, "guest-shutdown") == 0) {
        machine->shutdown = DINV_QEMU_SHUTDOWN_GUEST;
    } else if (strcmp(reason, "guest-reset") == 0 || strcmp(reason, "guest-panic") == 0) {
        machine->shutdown = DINV_QEMU_SHUTDOWN_RESET;
    } else if (strcmp(reason, "host-qmp-quit") == 0) {
        machine->shutdown = DINV_QEMU_SHUTDOWN_QUIT;
    } else {
        g_autofree char *text = g_utf8_make_valid(reason, -1);
        g_clear_pointer(&machine->trouble, g_free);
        machine->trouble = g_strdup_printf("QEMU was told to stop (%s)", text);
    }
}

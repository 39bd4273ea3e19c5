/* SPDX-License-Identifier: MIT */
/*
 * How a QEMU machine ends. Its process and its QMP connection end separately, in either order, and
 * both have to before it is known how: see "Theory of operation" in qemu.c.
 */
#include <string.h>
#include <sys/wait.h>

#include "launcher/machine/qemu/internal.h"

static DinvMachineExitKind exit_kind(const DinvQemu *qemu) {
    gboolean regular =
        WIFEXITED(qemu->base.wait_status) && WEXITSTATUS(qemu->base.wait_status) == 0;
    if (regular && qemu->shutdown == DINV_QEMU_SHUTDOWN_GUEST) {
        return DINV_MACHINE_EXIT_POWEROFF;
    }
    if (regular && qemu->shutdown == DINV_QEMU_SHUTDOWN_RESET) {
        return DINV_MACHINE_EXIT_RESET;
    }
    /* Also when it had to be killed, or died of it. */
    if (qemu->base.asked_to_end || (regular && qemu->shutdown == DINV_QEMU_SHUTDOWN_QUIT)) {
        return DINV_MACHINE_EXIT_QUIT;
    }
    return DINV_MACHINE_EXIT_DIED;
}

void dinv_qemu_clear_timers(DinvQemu *qemu) {
    g_clear_handle_id(&qemu->end_source, g_source_remove);
    g_clear_handle_id(&qemu->retry_source, g_source_remove);
    g_clear_handle_id(&qemu->resume_source, g_source_remove);
}

/* Calls `exited`; the machine may be freed afterwards. */
static void tell_exit(DinvQemu *qemu) {
    dinv_qemu_clear_timers(qemu);
    g_clear_pointer(&qemu->qmp, dinv_qmp_client_free);
    dinv_machine_tell_exit(&qemu->base, exit_kind(qemu));
}

static gboolean qemu_on_end_deadline(gpointer user) {
    DinvQemu *qemu = user;
    qemu->end_source = 0;
    if (qemu->base.process_gone) {
        tell_exit(qemu); /* somebody else holds QEMU's end of QMP */
    } else {
        dinv_machine_process_kill(qemu->base.process);
    }
    return G_SOURCE_REMOVE;
}

void dinv_qemu_expect_end(DinvQemu *qemu) {
    if (qemu->end_source == 0) {
        qemu->end_source = g_timeout_add(DINV_QEMU_EXIT_GRACE_MS, qemu_on_end_deadline, qemu);
    }
}

void dinv_qemu_on_process_gone(DinvMachineProcess *process G_GNUC_UNUSED, int wait_status,
                               gpointer user) {
    DinvQemu *qemu = user;
    qemu->base.process_gone = TRUE;
    qemu->base.wait_status = wait_status;
    dinv_qemu_clear_timers(qemu);
    if (qemu->qmp_gone) {
        tell_exit(qemu);
    } else {
        dinv_qemu_expect_end(qemu);
    }
}

void dinv_qemu_on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                               gpointer user) {
    DinvQemu *qemu = user;
    qemu->qmp_gone = TRUE;
    if (!g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED)) {
        dinv_machine_note_trouble(&qemu->base, error->message);
    }
    if (qemu->base.process_gone) {
        tell_exit(qemu);
    } else {
        dinv_qemu_expect_end(qemu);
    }
}

void dinv_qemu_on_shutdown(DinvQemu *qemu, struct json_object *data) {
    const char *reason = dinv_qemu_get_text(data, "reason");
    if (qemu->shutdown != DINV_QEMU_SHUTDOWN_NONE || reason == NULL) {
        return;
    }
    if (strcmp(reason, "guest-shutdown") == 0) {
        qemu->shutdown = DINV_QEMU_SHUTDOWN_GUEST;
    } else if (strcmp(reason, "guest-reset") == 0 || strcmp(reason, "guest-panic") == 0) {
        qemu->shutdown = DINV_QEMU_SHUTDOWN_RESET;
    } else if (strcmp(reason, "host-qmp-quit") == 0) {
        qemu->shutdown = DINV_QEMU_SHUTDOWN_QUIT;
    } else {
        g_autofree char *text = g_utf8_make_valid(reason, -1);
        g_clear_pointer(&qemu->base.trouble, g_free);
        qemu->base.trouble = g_strdup_printf("QEMU was told to stop (%s)", text);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Pauses that QEMU makes by itself.
 *
 * Theory of operation. vCPUs stop when the file system under data.img is full (`werror=enospc`).
 * `cont` is tried every RETRY_MS then; it lets the guest's write be tried again, and when there is
 * still no space QEMU stops at once. So that this flapping is not told to anyone, "goes on" is only
 * said after RESUME_MS without another stop. A stop for "internal-error" is KVM giving up: nothing
 * can continue that, so the machine is killed.
 */
#include <string.h>

#include "launcher/machine/qemu/internal.h"

#define RETRY_MS  3000u
#define RESUME_MS 1000u

static void qemu_on_cont(struct json_object *result G_GNUC_UNUSED, const GError *error,
                         gpointer user G_GNUC_UNUSED) {
    if (error != NULL) {
        g_debug("machine: %s, trying again", error->message);
    }
}

static gboolean qemu_on_retry(gpointer user) {
    DinvQemu *qemu = user;
    dinv_qmp_client_call(qemu->qmp, "cont", NULL, DINV_QEMU_COMMAND_MS, qemu_on_cont, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean qemu_on_resumed_for_good(gpointer user) {
    DinvQemu *qemu = user;
    qemu->resume_source = 0;
    qemu->told_paused = FALSE;
    if (qemu->base.callbacks.paused != NULL) {
        qemu->base.callbacks.paused(&qemu->base, FALSE, "", qemu->base.user);
    }
    return G_SOURCE_REMOVE;
}

static void tell_paused(DinvQemu *qemu, const char *reason) {
    if (!qemu->told_paused) {
        qemu->told_paused = TRUE;
        if (qemu->base.callbacks.paused != NULL) {
            qemu->base.callbacks.paused(&qemu->base, TRUE, reason, qemu->base.user);
        }
    }
}

/* The reply to query-status after a STOP: why it stopped. */
static void qemu_on_status(struct json_object *result, const GError *error G_GNUC_UNUSED,
                           gpointer user) {
    DinvQemu *qemu = user;
    const char *status = dinv_qemu_get_text(result, "status");
    if (status == NULL || !qemu->stopped || qemu->shutdown != DINV_QEMU_SHUTDOWN_NONE) {
        return;
    }
    if (strcmp(status, "io-error") == 0) {
        g_autofree char *reason =
            g_strdup_printf("no space left for %s; the guest goes on when there is some",
                            qemu->base.plan->data_image);
        if (qemu->retry_source == 0) {
            qemu->retry_source = g_timeout_add(RETRY_MS, qemu_on_retry, qemu);
        }
        tell_paused(qemu, reason);
    } else if (strcmp(status, "internal-error") == 0) {
        dinv_machine_note_trouble(&qemu->base,
                                  "KVM could not go on with the guest (internal error)");
        dinv_machine_process_kill(qemu->base.process);
    } else if (strcmp(status, "running") != 0) {
        g_autofree char *reason = g_utf8_make_valid(status, -1);
        tell_paused(qemu, reason);
    }
}

void dinv_qemu_on_stop(DinvQemu *qemu) {
    qemu->stopped = TRUE;
    g_clear_handle_id(&qemu->resume_source, g_source_remove);
    dinv_qmp_client_call(qemu->qmp, "query-status", NULL, DINV_QEMU_COMMAND_MS, qemu_on_status,
                         qemu);
}

void dinv_qemu_on_resume(DinvQemu *qemu) {
    qemu->stopped = FALSE;
    g_clear_handle_id(&qemu->retry_source, g_source_remove);
    if (qemu->told_paused && qemu->resume_source == 0) {
        qemu->resume_source = g_timeout_add(RESUME_MS, qemu_on_resumed_for_good, qemu);
    }
}

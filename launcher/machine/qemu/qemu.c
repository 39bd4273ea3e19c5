/* SPDX-License-Identifier: MIT */
/*
 * The machine of machine.h as QEMU: its start, and what is asked of it while it runs.
 *
 * Theory of operation. QEMU inherits one end each of four socketpairs (QMP, control, relay,
 * console), and of the network's, which is the caller's. Its process and its QMP connection end
 * separately, in either order; how it ended is only known when both have (the SHUTDOWN event may
 * still lie in the socket when the process is reaped). ending.c waits for both, then calls
 * `exited`, and that is the last thing done.
 *
 * QEMU starts with its vCPUs stopped (-S) and `cont` is the first command sent, because it sends no
 * event before the QMP handshake: a guest that ends sooner would end without a reason.
 *
 * A QMP connection that ends, or turns into nonsense, while the process goes on leaves a QEMU that
 * nobody can speak to: it has DINV_QEMU_EXIT_GRACE_MS to follow, then it is killed.
 */
#include <errno.h>
#include <glib-unix.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/host/capabilities.h"
#include "launcher/machine/qemu/argv.h"
#include "launcher/machine/qemu/internal.h"
#include "launcher/machine/qemu/qemu.h"

/* QEMU itself may be emulated: then its start takes a minute, or more where others want the CPU,
 * too. */
#define HANDSHAKE_MS 120000u

/* ---- what QMP says ---- */

const char *dinv_qemu_get_text(struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, name, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    return json_object_get_string(value);
}

static void qemu_on_event(DinvQmpClient *client G_GNUC_UNUSED, const char *name,
                          struct json_object *data, gpointer user) {
    DinvQemu *qemu = user;
    if (strcmp(name, "SHUTDOWN") == 0) {
        dinv_qemu_on_shutdown(qemu, data);
    } else if (strcmp(name, "STOP") == 0) {
        dinv_qemu_on_stop(qemu);
    } else if (strcmp(name, "RESUME") == 0) {
        dinv_qemu_on_resume(qemu);
    }
}

/* ---- start ---- */

/* The guest's owners and devices are passed through where this process may make such files. Without
 * that even an ordinary user's new file in the guest would be refused, so none of it is tried. */
static Dinv9pSecurity choose_9p_security(void) {
    static const int needed[] = {CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE};
    return dinv_host_has_capabilities("", needed, G_N_ELEMENTS(needed)) ? DINV_9P_PASSTHROUGH
                                                                        : DINV_9P_NONE;
}

/* QEMU and what serves its shares. `theirs` are its ends of the channels. */
static gboolean start_process(DinvQemu *qemu, int qmp_fd, const int *theirs, int network_fd,
                              GError **error) {
    enum { QMP = DINV_MACHINE_PROCESS_FIRST_FD, FIRST = QMP + 1 };
    static const DinvQemuFds numbers = {.qmp = QMP,
                                        .control = FIRST + DINV_MACHINE_CHANNEL_CONTROL,
                                        .relay = FIRST + DINV_MACHINE_CHANNEL_RELAY,
                                        .console = FIRST + DINV_MACHINE_CHANNEL_CONSOLE,
                                        .network = FIRST + DINV_MACHINE_CHANNEL_COUNT,
                                        .first_share = FIRST + DINV_MACHINE_CHANNEL_COUNT + 1};
    DinvMachine *machine = &qemu->base;
    if (!dinv_machine_start_shares(machine, error)) {
        return FALSE;
    }
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_val(fds, qmp_fd);
    g_array_append_vals(fds, theirs, DINV_MACHINE_CHANNEL_COUNT);
    g_array_append_val(fds, network_fd);
    if (machine->virtiofs != NULL) {
        const GArray *shares = dinv_machine_virtiofs_get_fds(machine->virtiofs);
        g_array_append_vals(fds, shares->data, shares->len);
    }
    g_auto(GStrv) argv = dinv_qemu_argv(machine->plan, &numbers, choose_9p_security());
    machine->process = dinv_machine_process_spawn(argv, (const int *)(const void *)fds->data,
                                                  fds->len, dinv_qemu_on_process_gone, qemu, error);
    if (machine->virtiofs != NULL) {
        dinv_machine_virtiofs_close_fds(machine->virtiofs);
    }
    if (machine->process == NULL) {
        g_prefix_error(error, "cannot start QEMU (DINV_QEMU=%s): ", machine->plan->config->qemu);
        return FALSE;
    }
    return TRUE;
}

/* The reply to the first `cont`. */
static void qemu_on_started(struct json_object *result G_GNUC_UNUSED, const GError *error,
                            gpointer user) {
    DinvQemu *qemu = user;
    if (g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND) ||
        g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT)) {
        dinv_machine_note_trouble(&qemu->base, error->message);
        dinv_machine_process_kill(qemu->base.process);
    }
}

/* The reply to query-kvm. */
static void qemu_on_kvm(struct json_object *result, const GError *error, gpointer user) {
    DinvQemu *qemu = user;
    struct json_object *enabled = NULL;
    if (error != NULL) {
        g_debug("machine: query-kvm: %s", error->message);
    } else if (json_object_is_type(result, json_type_object) &&
               json_object_object_get_ex(result, "enabled", &enabled) &&
               json_object_is_type(enabled, json_type_boolean)) {
        qemu->base.kvm_state =
            json_object_get_boolean(enabled) ? DINV_MACHINE_KVM_ENABLED : DINV_MACHINE_KVM_DISABLED;
    }
}

static gboolean qemu_start(DinvMachine *machine, int network_fd, GError **error) {
    static const DinvQmpCallbacks qmp_callbacks = {.event = qemu_on_event,
                                                   .disconnected = dinv_qemu_on_disconnected};
    DinvQemu *qemu = (DinvQemu *)machine;
    int theirs[DINV_MACHINE_CHANNEL_COUNT];
    int qmp[2] = {-1, -1}; /* ours, theirs */
    gboolean started = dinv_machine_open_channels(machine, theirs, error) &&
                       dinv_machine_make_channel(&qmp[0], &qmp[1], error) &&
                       start_process(qemu, qmp[1], theirs, network_fd, error);
    dinv_machine_close_fds(theirs, G_N_ELEMENTS(theirs));
    dinv_machine_close_fds(&qmp[1], 1);
    if (!started) {
        dinv_machine_close_fds(&qmp[0], 1);
        return FALSE;
    }
    qemu->qmp = dinv_qmp_client_new(qmp[0], HANDSHAKE_MS, &qmp_callbacks, qemu);
    dinv_qmp_client_call(qemu->qmp, "cont", NULL, HANDSHAKE_MS, qemu_on_started, qemu);
    dinv_qmp_client_call(qemu->qmp, "query-kvm", NULL, HANDSHAKE_MS, qemu_on_kvm, qemu);
    return TRUE;
}

/* ---- stop ---- */

static void qemu_on_quit(struct json_object *result G_GNUC_UNUSED, const GError *error,
                         gpointer user G_GNUC_UNUSED) {
    if (error != NULL) {
        g_debug("machine: quit: %s", error->message);
    }
}

static void qemu_quit(DinvMachine *machine) {
    DinvQemu *qemu = (DinvQemu *)machine;
    dinv_qmp_client_call(qemu->qmp, "quit", NULL, DINV_QEMU_EXIT_GRACE_MS, qemu_on_quit, NULL);
    dinv_qemu_expect_end(qemu);
}

static void qemu_clear(DinvMachine *machine) {
    DinvQemu *qemu = (DinvQemu *)machine;
    dinv_qemu_clear_timers(qemu);
    g_clear_pointer(&qemu->qmp, dinv_qmp_client_free);
}

const DinvMachineOps dinv_machine_qemu = {
    .size = sizeof(DinvQemu),
    .start = qemu_start,
    .quit = qemu_quit,
    .clear = qemu_clear,
};

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
    DinvMachine *machine = user;
    if (strcmp(name, "SHUTDOWN") == 0) {
        dinv_qemu_on_shutdown(machine, data);
    } else if (strcmp(name, "STOP") == 0) {
        dinv_qemu_on_stop(machine);
    } else if (strcmp(name, "RESUME") == 0) {
        dinv_qemu_on_resume(machine);
    }
}

/* ---- start ---- */

static void close_fds(int *fds) {
    for (guint i = 0; i < DINV_QEMU_CHANNEL_COUNT; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
            fds[i] = -1;
        }
    }
}

/* A socketpair per channel: our ends nonblocking, theirs left as QEMU wants to have them. */
static gboolean open_channels(int *ours, int *theirs, GError **error) {
    for (guint i = 0; i < DINV_QEMU_CHANNEL_COUNT; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            int number = errno;
            g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number),
                        "cannot make a socket pair for QEMU: %s", g_strerror(number));
            return FALSE;
        }
        ours[i] = pair[0];
        theirs[i] = pair[1];
        if (!g_unix_set_fd_nonblocking(pair[0], TRUE, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* The guest's owners and devices are passed through where this process may make such files. Without
 * that even an ordinary user's new file in the guest would be refused, so none of it is tried. */
static Dinv9pSecurity choose_9p_security(void) {
    static const int needed[] = {CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE};
    return dinv_host_has_capabilities("", needed, G_N_ELEMENTS(needed)) ? DINV_9P_PASSTHROUGH
                                                                        : DINV_9P_NONE;
}

/* QEMU and what serves its shares. On failure the caller ends the shares. */
static gboolean start_process(DinvMachine *machine, const int *theirs, int network_fd,
                              GError **error) {
    enum { FIRST = DINV_MACHINE_PROCESS_FIRST_FD };
    static const DinvQemuFds numbers = {.qmp = FIRST + DINV_QEMU_CHANNEL_QMP,
                                        .control = FIRST + DINV_QEMU_CHANNEL_CONTROL,
                                        .relay = FIRST + DINV_QEMU_CHANNEL_RELAY,
                                        .console = FIRST + DINV_QEMU_CHANNEL_CONSOLE,
                                        .network = FIRST + DINV_QEMU_CHANNEL_COUNT,
                                        .first_share = FIRST + DINV_QEMU_CHANNEL_COUNT + 1};
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_vals(fds, theirs, DINV_QEMU_CHANNEL_COUNT);
    g_array_append_val(fds, network_fd);
    if (!dinv_qemu_start_shares(machine, fds, error)) {
        return FALSE;
    }
    g_auto(GStrv) argv = dinv_qemu_argv(machine->plan, &numbers, choose_9p_security());
    machine->process =
        dinv_machine_process_spawn(argv, (const int *)(const void *)fds->data, fds->len,
                                   dinv_qemu_on_process_gone, machine, error);
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
    DinvMachine *machine = user;
    if (g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND) ||
        g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT)) {
        dinv_qemu_note_trouble(machine, error->message);
        dinv_machine_process_kill(machine->process);
    }
}

DinvMachine *dinv_machine_new(const DinvMachinePlan *plan, const DinvMachineCallbacks *callbacks,
                              gpointer user) {
    DinvMachine *machine = g_new0(DinvMachine, 1);
    machine->plan = plan;
    machine->callbacks = *callbacks;
    machine->user = user;
    for (guint i = 0; i < DINV_QEMU_CHANNEL_COUNT; i++) {
        machine->channels[i] = -1;
    }
    return machine;
}

static int take_channel(DinvMachine *machine, DinvQemuChannel channel) {
    int fd = machine->channels[channel];
    machine->channels[channel] = -1;
    return fd;
}

gboolean dinv_machine_start(DinvMachine *machine, int network_fd, GError **error) {
    static const DinvQmpCallbacks qmp_callbacks = {.event = qemu_on_event,
                                                   .disconnected = dinv_qemu_on_disconnected};
    int theirs[DINV_QEMU_CHANNEL_COUNT] = {-1, -1, -1, -1};
    g_assert(machine->process == NULL);
    gboolean started = open_channels(machine->channels, theirs, error) &&
                       start_process(machine, theirs, network_fd, error);
    close_fds(theirs);
    if (!started) {
        g_clear_pointer(&machine->virtiofs, dinv_machine_virtiofs_free);
        close_fds(machine->channels);
        return FALSE;
    }
    machine->qmp = dinv_qmp_client_new(take_channel(machine, DINV_QEMU_CHANNEL_QMP), HANDSHAKE_MS,
                                       &qmp_callbacks, machine);
    dinv_qmp_client_call(machine->qmp, "cont", NULL, HANDSHAKE_MS, qemu_on_started, machine);
    return TRUE;
}

int dinv_machine_take_control_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_QEMU_CHANNEL_CONTROL);
}

int dinv_machine_take_relay_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_QEMU_CHANNEL_RELAY);
}

int dinv_machine_take_console_fd(DinvMachine *machine) {
    return take_channel(machine, DINV_QEMU_CHANNEL_CONSOLE);
}

GPid dinv_machine_get_pid(const DinvMachine *machine) {
    return machine->process != NULL ? dinv_machine_process_get_pid(machine->process) : 0;
}

/* ---- stop ---- */

static void qemu_on_quit(struct json_object *result G_GNUC_UNUSED, const GError *error,
                         gpointer user G_GNUC_UNUSED) {
    if (error != NULL) {
        g_debug("machine: quit: %s", error->message);
    }
}

void dinv_machine_quit(DinvMachine *machine) {
    if (dinv_machine_get_pid(machine) == 0 || machine->asked_to_end) {
        return;
    }
    machine->asked_to_end = TRUE;
    dinv_qmp_client_call(machine->qmp, "quit", NULL, DINV_QEMU_EXIT_GRACE_MS, qemu_on_quit, NULL);
    dinv_qemu_expect_end(machine);
}

void dinv_machine_free(DinvMachine *machine) {
    if (machine == NULL) {
        return;
    }
    dinv_qemu_clear_timers(machine);
    g_clear_pointer(&machine->qmp, dinv_qmp_client_free);
    dinv_machine_process_free(machine->process);
    close_fds(machine->channels);
    dinv_machine_virtiofs_free(machine->virtiofs);
    g_free(machine->lost_share);
    g_free(machine->trouble);
    g_free(machine);
}

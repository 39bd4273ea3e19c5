/* SPDX-License-Identifier: MIT */
/*
 * The machine of machine.h as a QEMU microvm.
 *
 * Theory of operation. QEMU inherits one end each of four socketpairs: QMP, control, relay,
 * console. Its process and its QMP connection end separately, in either order; how it ended is only
 * known when both have (the SHUTDOWN event may still lie in the socket when the process is reaped).
 * finish() waits for both, then calls `exited`, and that is the last thing done.
 *
 * QEMU starts with its vCPUs stopped (-S) and `cont` is the first command sent, because it sends no
 * event before the QMP handshake: a guest that ends sooner would end without a reason.
 *
 * A QMP connection that ends, or turns into nonsense, while the process goes on leaves a QEMU that
 * nobody can speak to: it has EXIT_GRACE_MS to follow, then it is killed.
 *
 * Paused vCPUs: `werror=enospc` stops the guest when the file system under data.img is full. `cont`
 * is tried every RETRY_MS then; it lets the guest's write be tried again, and when there is still
 * no space QEMU stops at once. So that this flapping is not told to anyone, "goes on" is only said
 * after RESUME_MS without another stop. A stop for "internal-error" is KVM giving up: nothing can
 * continue that, so the machine is killed.
 */
#include <errno.h>
#include <glib-unix.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/machine/machine.h"
#include "launcher/machine/process.h"
#include "launcher/machine/qemu/argv.h"
#include "launcher/machine/qemu/hostfwd.h"
#include "launcher/machine/qemu/preload.h"
#include "launcher/machine/virtiofs.h"
#include "qmp/client.h"

/* QEMU itself may be emulated: then its start takes a minute, or more where others want the CPU,
 * too. */
#define HANDSHAKE_MS  120000u
#define COMMAND_MS    10000u
#define EXIT_GRACE_MS 2000u
#define RETRY_MS      3000u
#define RESUME_MS     1000u
/* Between the end of a virtiofsd and that of the QEMU that it ended with. */
#define SHARE_GRACE_MS 1000u

/* The order is that of the numbers the descriptors have in QEMU, from DINV_MACHINE_PROCESS_FIRST_FD
 * on. */
typedef enum {
    CHANNEL_QMP,
    CHANNEL_CONTROL,
    CHANNEL_RELAY,
    CHANNEL_CONSOLE,
    CHANNEL_COUNT
} Channel;

typedef enum {
    REASON_NONE, /* no SHUTDOWN event, or one with a reason of the host's */
    REASON_GUEST_SHUTDOWN,
    REASON_GUEST_RESET,
    REASON_QMP_QUIT,
} ShutdownReason;

struct DinvMachine {
    const DinvMachinePlan *plan;
    DinvMachineCallbacks callbacks;
    gpointer user;
    int channels[CHANNEL_COUNT]; /* our ends; -1: taken, or not started */
    DinvMachineProcess *process;
    DinvMachineVirtiofs *virtiofs; /* NULL: mounts are over 9p */
    char *lost_share;              /* what a virtiofsd said that has ended */
    guint lost_share_source;
    DinvQmpClient *qmp;
    gboolean asked_to_end; /* quit or kill by our user */
    gboolean process_gone;
    gboolean qmp_gone;
    int wait_status;
    ShutdownReason reason;
    char *trouble;        /* what went wrong as seen from here, for the exit message */
    guint end_source;     /* kills, or gives up waiting for the end of QMP */
    gboolean stopped;     /* vCPUs, by the last STOP or RESUME */
    gboolean told_paused; /* what our user was told last */
    guint retry_source;
    guint resume_source;
};

/* ---- the end ---- */

static DinvMachineExitKind exit_kind(const DinvMachine *machine) {
    gboolean regular = WIFEXITED(machine->wait_status) && WEXITSTATUS(machine->wait_status) == 0;

    if (regular && machine->reason == REASON_GUEST_SHUTDOWN) {
        return DINV_MACHINE_EXIT_POWEROFF;
    }
    if (regular && machine->reason == REASON_GUEST_RESET) {
        return DINV_MACHINE_EXIT_RESET;
    }
    /* Also when it had to be killed, or died of it. */
    if (machine->asked_to_end || (regular && machine->reason == REASON_QMP_QUIT)) {
        return DINV_MACHINE_EXIT_QUIT;
    }
    return DINV_MACHINE_EXIT_DIED;
}

static void clear_sources(DinvMachine *machine) {
    g_clear_handle_id(&machine->end_source, g_source_remove);
    g_clear_handle_id(&machine->retry_source, g_source_remove);
    g_clear_handle_id(&machine->resume_source, g_source_remove);
    g_clear_handle_id(&machine->lost_share_source, g_source_remove);
}

/* Calls `exited`; the machine may be freed afterwards. */
static void finish(DinvMachine *machine) {
    const char *text = dinv_machine_process_get_stderr(machine->process);
    g_autofree char *message = NULL;
    DinvMachineExit exit = {.kind = exit_kind(machine), .wait_status = machine->wait_status};

    clear_sources(machine);
    message = machine->trouble == NULL
                  ? g_strdup(text)
                  : g_strconcat(machine->trouble, *text != '\0' ? "\n" : "", text, NULL);
    exit.message = message;
    g_clear_pointer(&machine->qmp, dinv_qmp_client_free);
    if (machine->callbacks.exited != NULL) {
        machine->callbacks.exited(machine, &exit, machine->user);
    }
}

static gboolean on_end_deadline(gpointer user) {
    DinvMachine *machine = user;

    machine->end_source = 0;
    if (machine->process_gone) {
        finish(machine); /* somebody else holds QEMU's end of QMP */
    } else {
        dinv_machine_process_kill(machine->process);
    }
    return G_SOURCE_REMOVE;
}

static void expect_end(DinvMachine *machine) {
    if (machine->end_source == 0) {
        machine->end_source = g_timeout_add(EXIT_GRACE_MS, on_end_deadline, machine);
    }
}

static void note_trouble(DinvMachine *machine, const char *text) {
    if (machine->trouble == NULL) {
        machine->trouble = g_strdup(text);
    }
}

static void on_process_gone(DinvMachineProcess *process G_GNUC_UNUSED, int wait_status,
                            gpointer user) {
    DinvMachine *machine = user;

    machine->process_gone = TRUE;
    machine->wait_status = wait_status;
    clear_sources(machine);
    if (machine->qmp_gone) {
        finish(machine);
    } else {
        expect_end(machine);
    }
}

static void on_disconnected(DinvQmpClient *client G_GNUC_UNUSED, const GError *error,
                            gpointer user) {
    DinvMachine *machine = user;

    machine->qmp_gone = TRUE;
    if (!g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_DISCONNECTED)) {
        note_trouble(machine, error->message);
    }
    if (machine->process_gone) {
        finish(machine);
    } else {
        expect_end(machine);
    }
}

/* ---- pauses ---- */

static void on_cont(struct json_object *result G_GNUC_UNUSED, const GError *error,
                    gpointer user G_GNUC_UNUSED) {
    if (error != NULL) {
        g_debug("machine: %s, trying again", error->message);
    }
}

static gboolean on_retry(gpointer user) {
    DinvMachine *machine = user;

    dinv_qmp_client_call(machine->qmp, "cont", NULL, COMMAND_MS, on_cont, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean on_resumed_for_good(gpointer user) {
    DinvMachine *machine = user;

    machine->resume_source = 0;
    machine->told_paused = FALSE;
    if (machine->callbacks.paused != NULL) {
        machine->callbacks.paused(machine, FALSE, "", machine->user);
    }
    return G_SOURCE_REMOVE;
}

static void tell_paused(DinvMachine *machine, const char *reason) {
    if (!machine->told_paused) {
        machine->told_paused = TRUE;
        if (machine->callbacks.paused != NULL) {
            machine->callbacks.paused(machine, TRUE, reason, machine->user);
        }
    }
}

/* The reply to query-status after a STOP: why it stopped. */
static void on_status(struct json_object *result, const GError *error G_GNUC_UNUSED,
                      gpointer user) {
    DinvMachine *machine = user;
    struct json_object *value = NULL;
    const char *status;

    if (result == NULL || !machine->stopped || machine->reason != REASON_NONE ||
        !json_object_is_type(result, json_type_object) ||
        !json_object_object_get_ex(result, "status", &value) ||
        !json_object_is_type(value, json_type_string)) {
        return;
    }
    status = json_object_get_string(value);
    if (strcmp(status, "io-error") == 0) {
        g_autofree char *reason =
            g_strdup_printf("no space left for %s; the guest goes on when there is some",
                            machine->plan->data_image);
        if (machine->retry_source == 0) {
            machine->retry_source = g_timeout_add(RETRY_MS, on_retry, machine);
        }
        tell_paused(machine, reason);
    } else if (strcmp(status, "internal-error") == 0) {
        note_trouble(machine, "KVM could not go on with the guest (internal error)");
        dinv_machine_process_kill(machine->process);
    } else if (strcmp(status, "running") != 0) {
        g_autofree char *reason = g_utf8_make_valid(status, -1);
        tell_paused(machine, reason);
    }
}

static void on_stop(DinvMachine *machine) {
    machine->stopped = TRUE;
    g_clear_handle_id(&machine->resume_source, g_source_remove);
    dinv_qmp_client_call(machine->qmp, "query-status", NULL, COMMAND_MS, on_status, machine);
}

static void on_resume(DinvMachine *machine) {
    machine->stopped = FALSE;
    g_clear_handle_id(&machine->retry_source, g_source_remove);
    if (machine->told_paused && machine->resume_source == 0) {
        machine->resume_source = g_timeout_add(RESUME_MS, on_resumed_for_good, machine);
    }
}

/* ---- QMP events ---- */

static void on_shutdown(DinvMachine *machine, struct json_object *data) {
    struct json_object *value = NULL;
    const char *reason;
    g_autofree char *text = NULL;

    if (machine->reason != REASON_NONE || data == NULL ||
        !json_object_object_get_ex(data, "reason", &value) ||
        !json_object_is_type(value, json_type_string)) {
        return;
    }
    reason = json_object_get_string(value);
    if (strcmp(reason, "guest-shutdown") == 0) {
        machine->reason = REASON_GUEST_SHUTDOWN;
    } else if (strcmp(reason, "guest-reset") == 0 || strcmp(reason, "guest-panic") == 0) {
        machine->reason = REASON_GUEST_RESET;
    } else if (strcmp(reason, "host-qmp-quit") == 0) {
        machine->reason = REASON_QMP_QUIT;
    } else {
        text = g_utf8_make_valid(reason, -1);
        g_clear_pointer(&machine->trouble, g_free);
        machine->trouble = g_strdup_printf("QEMU was told to stop (%s)", text);
    }
}

static void on_event(DinvQmpClient *client G_GNUC_UNUSED, const char *name,
                     struct json_object *data, gpointer user) {
    DinvMachine *machine = user;

    if (strcmp(name, "SHUTDOWN") == 0) {
        on_shutdown(machine, data);
    } else if (strcmp(name, "STOP") == 0) {
        on_stop(machine);
    } else if (strcmp(name, "RESUME") == 0) {
        on_resume(machine);
    }
}

/* ---- start ---- */

static void close_fds(int *fds) {
    for (guint i = 0; i < CHANNEL_COUNT; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
            fds[i] = -1;
        }
    }
}

/* A socketpair per channel: our ends nonblocking, theirs left as QEMU wants to have them. */
static gboolean open_channels(int *ours, int *theirs, GError **error) {
    for (guint i = 0; i < CHANNEL_COUNT; i++) {
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
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    const guint32 needed = 1u << CAP_CHOWN | 1u << CAP_FOWNER | 1u << CAP_DAC_OVERRIDE;

    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed
               ? DINV_9P_PASSTHROUGH
               : DINV_9P_NONE;
}

/* A share is only lost if QEMU is still there a little later: each virtiofsd ends with it. */
static gboolean on_share_missed(gpointer user) {
    DinvMachine *machine = user;

    machine->lost_share_source = 0;
    if (machine->callbacks.lost != NULL && !machine->asked_to_end) {
        machine->callbacks.lost(machine, machine->lost_share, machine->user);
    }
    return G_SOURCE_REMOVE;
}

static void on_share_lost(const char *text, gboolean failed, gpointer user) {
    DinvMachine *machine = user;

    if (failed) {
        note_trouble(machine, text); /* should QEMU not get far without it */
    }

    machine->lost_share = g_strdup(text);
    if (!machine->process_gone) {
        machine->lost_share_source = g_timeout_add(SHARE_GRACE_MS, on_share_missed, machine);
    }
}

static gboolean start_process(DinvMachine *machine, const int *theirs, GError **error) {
    static const DinvQemuFds fds = {.qmp = DINV_MACHINE_PROCESS_FIRST_FD + CHANNEL_QMP,
                                    .control = DINV_MACHINE_PROCESS_FIRST_FD + CHANNEL_CONTROL,
                                    .relay = DINV_MACHINE_PROCESS_FIRST_FD + CHANNEL_RELAY,
                                    .console = DINV_MACHINE_PROCESS_FIRST_FD + CHANNEL_CONSOLE,
                                    .first_share = DINV_MACHINE_PROCESS_FIRST_FD + CHANNEL_COUNT};
    g_auto(GStrv) argv = NULL;
    int preload_fd;
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));

    g_array_append_vals(all, theirs, CHANNEL_COUNT);
    if (machine->plan->virtiofsd != NULL) {
        const GArray *shares;

        machine->virtiofs =
            dinv_machine_virtiofs_start(machine->plan, on_share_lost, machine, error);
        if (machine->virtiofs == NULL) {
            return FALSE;
        }
        shares = dinv_machine_virtiofs_get_fds(machine->virtiofs);
        g_array_append_vals(all, shares->data, shares->len);
    }
    argv = dinv_qemu_argv(machine->plan, &fds, choose_9p_security());
    preload_fd = dinv_qemu_preload_open();
    machine->process =
        dinv_machine_process_spawn(argv, (const int *)(const void *)all->data, all->len, preload_fd,
                                   on_process_gone, machine, error);
    if (preload_fd >= 0) {
        (void)close(preload_fd);
    }
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
static void on_started(struct json_object *result G_GNUC_UNUSED, const GError *error,
                       gpointer user) {
    DinvMachine *machine = user;

    if (g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_COMMAND) ||
        g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT)) {
        note_trouble(machine, error->message);
        dinv_machine_process_kill(machine->process);
    }
}

DinvMachine *dinv_machine_new(const DinvMachinePlan *plan, const DinvMachineCallbacks *callbacks,
                              gpointer user) {
    DinvMachine *machine = g_new0(DinvMachine, 1);

    machine->plan = plan;
    machine->callbacks = *callbacks;
    machine->user = user;
    for (guint i = 0; i < CHANNEL_COUNT; i++) {
        machine->channels[i] = -1;
    }
    return machine;
}

static int take(DinvMachine *machine, Channel channel) {
    int fd = machine->channels[channel];

    machine->channels[channel] = -1;
    return fd;
}

gboolean dinv_machine_start(DinvMachine *machine, GError **error) {
    static const DinvQmpCallbacks qmp_callbacks = {.event = on_event,
                                                   .disconnected = on_disconnected};
    int theirs[CHANNEL_COUNT] = {-1, -1, -1, -1};
    gboolean started;

    g_assert(machine->process == NULL);
    started =
        open_channels(machine->channels, theirs, error) && start_process(machine, theirs, error);
    close_fds(theirs);
    if (!started) {
        g_clear_pointer(&machine->virtiofs, dinv_machine_virtiofs_free);
        close_fds(machine->channels);
        return FALSE;
    }
    machine->qmp =
        dinv_qmp_client_new(take(machine, CHANNEL_QMP), HANDSHAKE_MS, &qmp_callbacks, machine);
    dinv_qmp_client_call(machine->qmp, "cont", NULL, HANDSHAKE_MS, on_started, machine);
    return TRUE;
}

int dinv_machine_take_control_fd(DinvMachine *machine) {
    return take(machine, CHANNEL_CONTROL);
}

int dinv_machine_take_relay_fd(DinvMachine *machine) {
    return take(machine, CHANNEL_RELAY);
}

int dinv_machine_take_console_fd(DinvMachine *machine) {
    return take(machine, CHANNEL_CONSOLE);
}

GPid dinv_machine_get_pid(const DinvMachine *machine) {
    return machine->process != NULL ? dinv_machine_process_get_pid(machine->process) : 0;
}

/* ---- forwards ---- */

void dinv_machine_add_forward(DinvMachine *machine, const DinvPortForward *forward,
                              const char *address, GAsyncReadyCallback callback, gpointer user) {
    GTask *task = g_task_new(NULL, NULL, callback, user);

    dinv_qemu_hostfwd_add(machine->qmp, forward, address, task);
}

void dinv_machine_remove_forward(DinvMachine *machine, const DinvPortForward *forward,
                                 const char *address, GAsyncReadyCallback callback, gpointer user) {
    GTask *task = g_task_new(NULL, NULL, callback, user);

    dinv_qemu_hostfwd_remove(machine->qmp, forward, address, task);
}

/* Does not look at the machine: a callback may come after its free. */
gboolean dinv_machine_forward_finish(DinvMachine *machine G_GNUC_UNUSED, GAsyncResult *result,
                                     GError **error) {
    return g_task_propagate_boolean(G_TASK(result), error);
}

void dinv_machine_list_forwards(DinvMachine *machine, GAsyncReadyCallback callback, gpointer user) {
    dinv_qemu_hostfwd_list(machine->qmp, g_task_new(NULL, NULL, callback, user));
}

char *dinv_machine_list_finish(GAsyncResult *result, GError **error) {
    return g_task_propagate_pointer(G_TASK(result), error);
}

/* ---- stop ---- */

static void on_quit(struct json_object *result G_GNUC_UNUSED, const GError *error,
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
    dinv_qmp_client_call(machine->qmp, "quit", NULL, EXIT_GRACE_MS, on_quit, NULL);
    expect_end(machine);
}

void dinv_machine_kill(DinvMachine *machine) {
    if (dinv_machine_get_pid(machine) != 0) {
        machine->asked_to_end = TRUE;
        dinv_machine_process_kill(machine->process);
    }
}

void dinv_machine_free(DinvMachine *machine) {
    if (machine == NULL) {
        return;
    }
    clear_sources(machine);
    g_clear_pointer(&machine->qmp, dinv_qmp_client_free);
    dinv_machine_process_free(machine->process);
    close_fds(machine->channels);
    dinv_machine_virtiofs_free(machine->virtiofs);
    g_free(machine->lost_share);
    g_free(machine->trouble);
    g_free(machine);
}

/* SPDX-License-Identifier: MIT */
#include "launcher/vm/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/engine/reason.h"
#include "wire/control.h"
#include "wire/disks.h"
#include "wire/services.h"

/* What e2fsck may take with a damaged disk of any size. */
#define DISK_CHECK_MS      (60u * 60u * 1000u)
#define CONSOLE_TAIL_LINES 40u /* the last line of a panic comes after a stack trace */
#define PHASES_MAX         64u
/* Lines of the guest that reach the log in one window of time. */
#define GUEST_LOG_LINES     100u
#define GUEST_LOG_WINDOW_US (60 * (gint64)G_USEC_PER_SEC)

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

static void set_state(DinvVm *vm, DinvVmState state) {
    g_assert((transitions[vm->state] & (1u << state)) != 0);
    dinv_log(DINV_LOG_DEBUG, "vm: %s -> %s", dinv_vm_state_names[vm->state],
             dinv_vm_state_names[state]);
    vm->state = state;
}

static void add_phase(DinvVm *vm, const char *name) {
    /* A guest that sends phases without end must not grow us. */
    if (vm->phases->len < PHASES_MAX) {
        DinvVmPhase phase = {dinv_log_printable_line(name), dinv_log_elapsed()};
        g_array_append_val(vm->phases, phase);
        dinv_log(DINV_LOG_DEBUG, "phase: %s", phase.name);
    }
}

static void free_phase(gpointer data) {
    g_free(((DinvVmPhase *)data)->name);
}

/* --- Failing and stopping --- */

static void log_console_tail(DinvVm *vm) {
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

/* Ends the machine without the guest. */
static void quit_machine(DinvVm *vm) {
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    vm->quitting = TRUE;
    dinv_machine_quit(vm->machine);
}

static gboolean on_stop_deadline(gpointer user) {
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_WARNING,
             "the guest did not power off within %g s (DINV_SHUTDOWN_TIMEOUT is %g s), ending it "
             "now",
             vm->stop_timeout_ms / 1000.0, vm->plan->config->shutdown_timeout_ms / 1000.0);
    quit_machine(vm);
    return G_SOURCE_REMOVE;
}

/* To STOPPING; the guest has that long to power off, 0 if it is not going to. */
static void begin_stopping(DinvVm *vm, guint timeout_ms) {
    set_state(vm, DINV_VM_STOPPING);
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_vm_endpoints_stop_listening(vm->endpoints);
    dinv_log_waiting_for("the guest to stop its containers and power off");
    if (timeout_ms > 0) {
        vm->stop_timeout_ms = timeout_ms;
        vm->deadline_source = g_timeout_add(timeout_ms, on_stop_deadline, vm);
    } else {
        quit_machine(vm);
    }
}

/* The VM is of no use any more; the cause was logged. */
static void fail(DinvVm *vm) {
    if (vm->state < DINV_VM_STOPPING) {
        vm->failed = TRUE;
        begin_stopping(vm, 0);
    }
}

void dinv_vm_stop(DinvVm *vm, guint timeout_ms) {
    if (vm->state == DINV_VM_STOPPED || vm->state == DINV_VM_STARTING || vm->quitting) {
        return;
    }
    gboolean again = vm->stop_asked;
    vm->stop_asked = TRUE;
    if (again) {
        dinv_log(DINV_LOG_WARNING, "asked to stop again: ending the guest at once");
        quit_machine(vm);
        return;
    }
    if (vm->state == DINV_VM_STOPPING) {
        return;
    }
    dinv_log(DINV_LOG_INFO, "stopping");
    if (vm->state < DINV_VM_CONFIGURING) {
        begin_stopping(vm, 0);
        return;
    }
    /* The guest gets a little less, so that it can still sync and unmount after its deadline. */
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "deadline_ms",
                           json_object_new_int64((gint64)(timeout_ms - timeout_ms / 4)));
    if (vm->share_lost) {
        json_object_object_add(fields, "abandon_shares", json_object_new_boolean(TRUE));
    }
    dinv_vm_control_request(vm->control, "shutdown", fields, timeout_ms, NULL, NULL);
    begin_stopping(vm, MAX(timeout_ms, 1));
}

static gboolean on_boot_deadline(gpointer user) {
    static const char *const missing[] = {
        [DINV_VM_BOOTING] = "the guest's agent has not said hello",
        [DINV_VM_CONFIGURING] = "the guest has not taken its configuration",
        [DINV_VM_ENGINE] = "the Docker engine in the guest has not answered",
    };
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_ERROR, "%s within %g s (DINV_BOOT_TIMEOUT), giving up", missing[vm->state],
             vm->plan->config->boot_timeout_ms / 1000.0);
    log_console_tail(vm);
    fail(vm);
    return G_SOURCE_REMOVE;
}

/* --- The machine --- */

/* How the machine ended, without being asked to; then the console's last lines. */
static void log_exit(DinvVm *vm, const DinvMachineExit *exit, DinvLogLevel level) {
    const char *qemu = vm->plan->config->qemu;
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
        dinv_log(level, "%s was killed by signal %d (%s)%s%s%s%s", qemu, signal_number,
                 strsignal(signal_number), cause != NULL ? "; " : "", cause != NULL ? cause : "",
                 separator, message);
    } else {
        dinv_log(level, "%s ended with status %d%s%s", qemu, WEXITSTATUS(exit->wait_status),
                 separator, message);
    }
    log_console_tail(vm);
}

/* The end that was asked for. An accident on the way is told, but is no failure: what the vm was
 * for is done, and the status of a command that has ended stands. */
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

static void on_machine_exited(DinvMachine *machine, const DinvMachineExit *exit, gpointer user) {
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
    } else if (!vm->failed || vm->share_lost) {
        log_stopped(vm, exit);
    }
    set_state(vm, DINV_VM_STOPPED);
    dinv_vm_endpoints_stop_listening(vm->endpoints);
    vm->callbacks.stopped(vm, vm->failed, vm->user);
}

static void on_machine_paused(DinvMachine *machine, gboolean paused, const char *reason,
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

/* --- The control channel --- */

static void on_configured(struct json_object *reply, const GError *error, gpointer user) {
    DinvVm *vm = user;
    (void)reply;
    /* The end of the channel is that of the machine, which is told with its cause. */
    if (vm->state != DINV_VM_CONFIGURING ||
        g_error_matches(error, DINV_VM_CONTROL_ERROR, DINV_VM_CONTROL_ERROR_CLOSED)) {
        return;
    }
    if (error != NULL) {
        dinv_log(DINV_LOG_ERROR, "the guest did not take its configuration: %s", error->message);
        if (!vm->damaged[DINV_STATE_DISK_DATA] && !vm->damaged[DINV_STATE_DISK_VOLUME]) {
            log_console_tail(vm);
        }
        fail(vm);
        return;
    }
    set_state(vm, DINV_VM_ENGINE);
    dinv_log_waiting_for("the Docker engine");
}

static void on_hello(gint64 protocol, const char *version, const char *kernel, gint64 uptime_us,
                     gpointer user) {
    DinvVm *vm = user;
    if (vm->state != DINV_VM_BOOTING || vm->exited) {
        return;
    }
    if (protocol != DINV_WIRE_CONTROL_VERSION) {
        dinv_log(DINV_LOG_ERROR,
                 "the guest image \"%s\" speaks control protocol %" G_GINT64_FORMAT
                 ", this dinv speaks %d; build the image anew with \"dinv image build\"",
                 vm->plan->config->rootfs, protocol, DINV_WIRE_CONTROL_VERSION);
        fail(vm);
        return;
    }
    vm->guest_version = dinv_log_printable_line(version);
    vm->guest_kernel = dinv_log_printable_line(kernel);
    vm->guest_hello_us = uptime_us;
    add_phase(vm, "hello");
    set_state(vm, DINV_VM_CONFIGURING);
    dinv_log_waiting_for("the guest to set itself up");
    dinv_vm_control_request(vm->control, "configure", dinv_vm_make_configuration(vm),
                            DISK_CHECK_MS + vm->plan->config->boot_timeout_ms, on_configured, vm);
    dinv_vm_start_clock(vm);
}

/* The time that a check of a disk takes does not count as that of the boot. */
static void set_boot_deadline(DinvVm *vm, guint timeout_ms) {
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    vm->deadline_source = g_timeout_add(timeout_ms, on_boot_deadline, vm);
}

static void on_phase(const char *name, gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    (void)uptime_us;
    add_phase(vm, name);
    if (vm->state != DINV_VM_CONFIGURING || vm->exited) {
        return;
    }
    if (strcmp(name, "checking-disk") == 0) {
        set_boot_deadline(vm, DISK_CHECK_MS);
        dinv_log_waiting_for("the check of a disk");
    } else if (strcmp(name, "disk-checked") == 0) {
        set_boot_deadline(vm, vm->plan->config->boot_timeout_ms);
        dinv_log_waiting_for("the guest to set itself up");
    }
}

static void on_damaged(const char *disk, gpointer user) {
    static const char *const serials[DINV_STATE_DISK_KINDS] = {
        [DINV_STATE_DISK_DATA] = DINV_WIRE_DISK_DATA,
        [DINV_STATE_DISK_VOLUME] = DINV_WIRE_DISK_VOLUME};
    DinvVm *vm = user;
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        /* Later it is in use, and was good enough for that. */
        if (vm->state == DINV_VM_CONFIGURING && strcmp(disk, serials[kind]) == 0) {
            vm->damaged[kind] = TRUE;
        }
    }
}

static void on_docker_client(int fd, gpointer user) {
    DinvVm *vm = user;
    g_autoptr(GError) error = NULL;
    if (!dinv_vm_relay_bridge(vm->relay, DINV_WIRE_SERVICE_DOCKER, NULL, 0, fd, &error)) {
        dinv_log(DINV_LOG_WARNING, "a client of the engine was turned away: %s", error->message);
    }
}

static void on_relay_closed(gpointer user) {
    DinvVm *vm = user;
    dinv_log(DINV_LOG_DEBUG, "vm: relay channel closed in state %s",
             dinv_vm_state_names[vm->state]);
}

static void on_ready(const char *engine, gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    (void)uptime_us;
    /* The reply to `configure` may still be on its way behind it. */
    if (vm->state == DINV_VM_CONFIGURING) {
        set_state(vm, DINV_VM_ENGINE);
    }
    if (vm->state != DINV_VM_ENGINE || vm->exited) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    set_state(vm, DINV_VM_READY);
    vm->engine_version = dinv_log_printable_line(engine);
    add_phase(vm, "ready");
    dinv_log_waiting_for(NULL);
    g_autofree char *places = dinv_vm_endpoints_to_string(vm->endpoints);
    dinv_log(DINV_LOG_INFO, "ready: Docker %s on %s", vm->engine_version, places);
    dinv_vm_endpoints_serve(vm->endpoints, on_docker_client, vm);
    vm->callbacks.ready(vm, vm->user);
}

/* A guest that floods its log fills neither ours nor the disk under it. */
static gboolean may_guest_log(DinvVm *vm) {
    gint64 now = g_get_monotonic_time();
    if (vm->guest_log_lines == 0 || now - vm->guest_log_start_us > GUEST_LOG_WINDOW_US) {
        vm->guest_log_start_us = now;
        vm->guest_log_lines = 0;
    }
    vm->guest_log_lines++;
    if (vm->guest_log_lines == GUEST_LOG_LINES + 1) {
        dinv_log(DINV_LOG_WARNING, "the guest says too much, dropping the rest of this minute");
    }
    return vm->guest_log_lines <= GUEST_LOG_LINES;
}

static void on_guest_log(DinvLogLevel level, const char *text, gpointer user) {
    DinvVm *vm = user;
    if (level <= vm->plan->config->log_level && may_guest_log(vm)) {
        g_autofree char *printable = dinv_log_printable_line(text);
        dinv_log(level, "guest: %s", printable);
    }
}

static void on_guest_failed(const char *what, const char *text, const char *log, gpointer user) {
    DinvVm *vm = user;
    g_autofree char *printable_what = dinv_log_printable_line(what);
    g_autofree char *printable_text = dinv_log_printable_line(text);
    if (vm->state >= DINV_VM_STOPPING) {
        return;
    }
    g_autofree char *reason = log != NULL ? dinv_engine_reason(log) : NULL;
    if (log != NULL && log[0] != '\0') {
        g_autofree char *printable_log = dinv_log_printable(log);
        g_strchomp(printable_log);
        /* The reason alone says it, where there is one. */
        dinv_log(reason != NULL ? DINV_LOG_INFO : DINV_LOG_ERROR,
                 "the last lines of dockerd's log:\n%s", printable_log);
    }
    dinv_log(DINV_LOG_ERROR, "the guest failed (%s): %s%s%s", printable_what, printable_text,
             reason != NULL ? ": " : "", reason != NULL ? reason : "");
    /* It unmounts and powers off by itself; the deadline is for one that does not. */
    vm->failed = TRUE;
    begin_stopping(vm, MAX(vm->plan->config->shutdown_timeout_ms, 1));
}

static void on_guest_exiting(gboolean clean, gpointer user) {
    DinvVm *vm = user;
    vm->guest_clean = clean;
}

/* --- Requests of the guest --- */

typedef struct {
    DinvVm *vm;
    gint64 id;
} GuestRequest;

static void on_published(const char *error, gpointer user) {
    g_autofree GuestRequest *request = user;
    dinv_vm_control_reply(request->vm->control, request->id, error);
}

static void on_guest_request(gint64 id, const char *verb, struct json_object *message,
                             gpointer user) {
    DinvVm *vm = user;
    GuestRequest *request = g_new0(GuestRequest, 1);
    *request = (GuestRequest){.vm = vm, .id = id};
    if (vm->exited) {
        on_published("the machine is gone", request);
    } else if (strcmp(verb, "publish") == 0) {
        dinv_network_publisher_publish(vm->publisher, message, on_published, request);
    } else if (strcmp(verb, "unpublish") == 0) {
        dinv_network_publisher_unpublish(vm->publisher, message, on_published, request);
    } else {
        on_published("unknown verb", request);
    }
}

/* The guest can still stop its containers and write its disks. */
static void on_machine_lost(DinvMachine *machine, const char *text, gpointer user) {
    DinvVm *vm = user;
    g_autofree char *printable = dinv_log_printable_line(text);
    (void)machine;
    if (vm->state >= DINV_VM_STOPPING) {
        return;
    }
    dinv_log(DINV_LOG_ERROR, "%s; the mount is lost, stopping the guest", printable);
    vm->failed = TRUE;
    vm->share_lost = TRUE;
    dinv_vm_stop(vm, vm->plan->config->shutdown_timeout_ms);
}

static void on_control_closed(gpointer user) {
    DinvVm *vm = user;
    dinv_log(DINV_LOG_DEBUG, "vm: control channel closed in state %s",
             dinv_vm_state_names[vm->state]);
}

/* --- Start --- */

static const DinvVmControlCallbacks control_callbacks = {
    .hello = on_hello,
    .phase = on_phase,
    .ready = on_ready,
    .log = on_guest_log,
    .failed = on_guest_failed,
    .exiting = on_guest_exiting,
    .damaged = on_damaged,
    .request = on_guest_request,
    .closed = on_control_closed,
};

gboolean dinv_vm_start(DinvVm *vm, GError **error) {
    const DinvConfig *config = vm->plan->config;
    vm->publisher = dinv_network_publisher_new(vm->machine, config);
    dinv_host_limits_count_oom_kills("", &vm->oom_before);
    vm->endpoints = dinv_vm_endpoints_new(config, error);
    if (vm->endpoints == NULL || !dinv_machine_start(vm->machine, error)) {
        g_clear_pointer(&vm->endpoints, dinv_vm_endpoints_free);
        return FALSE;
    }
    g_autofree char *console_path = g_build_filename(config->state_dir, "console.log", NULL);
    vm->console =
        dinv_vm_console_new(dinv_machine_take_console_fd(vm->machine), console_path, error);
    if (vm->console == NULL) {
        g_clear_pointer(&vm->machine, dinv_machine_free);
        g_clear_pointer(&vm->endpoints, dinv_vm_endpoints_free);
        return FALSE;
    }
    vm->control =
        dinv_vm_control_new(dinv_machine_take_control_fd(vm->machine), &control_callbacks, vm);
    vm->relay = dinv_vm_relay_new(dinv_machine_take_relay_fd(vm->machine), on_relay_closed, vm);
    add_phase(vm, "machine-started");
    set_state(vm, DINV_VM_BOOTING);
    vm->deadline_source = g_timeout_add(config->boot_timeout_ms, on_boot_deadline, vm);
    dinv_log(DINV_LOG_INFO, "booting: %s, %u CPU%s, %" G_GUINT64_FORMAT " MiB",
             vm->plan->qemu.use_kvm ? "KVM" : "TCG (emulated, slow)", config->cpus,
             config->cpus == 1 ? "" : "s", config->memory_bytes >> 20);
    dinv_log_waiting_for("the guest's kernel");
    return TRUE;
}

DinvVm *dinv_vm_new(const DinvMachinePlan *plan, const DinvEngineConfig *engine,
                    const DinvEngineNetworkPlan *network, const DinvVmCallbacks *callbacks,
                    gpointer user) {
    static const DinvMachineCallbacks machine_callbacks = {
        .exited = on_machine_exited, .lost = on_machine_lost, .paused = on_machine_paused};
    DinvVm *vm = g_new0(DinvVm, 1);
    vm->plan = plan;
    vm->engine = engine;
    vm->network = network;
    vm->callbacks = *callbacks;
    vm->user = user;
    vm->clock_fd = -1;
    vm->phases = g_array_new(FALSE, FALSE, sizeof(DinvVmPhase));
    g_array_set_clear_func(vm->phases, free_phase);
    vm->machine = dinv_machine_new(plan, &machine_callbacks, vm);
    return vm;
}

void dinv_vm_free(DinvVm *vm) {
    if (vm == NULL) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_vm_stop_clock(vm);
    dinv_vm_relay_free(vm->relay);
    dinv_vm_endpoints_free(vm->endpoints); /* behind the relay, whose last bytes it passes on */
    dinv_network_publisher_free(vm->publisher);
    dinv_dns_forwarder_free(vm->resolver);
    dinv_vm_control_free(vm->control);
    dinv_machine_free(vm->machine);
    dinv_vm_console_free(vm->console);
    g_array_unref(vm->phases);
    g_free(vm->paused);
    g_free(vm->guest_version);
    g_free(vm->guest_kernel);
    g_free(vm->engine_version);
    g_free(vm);
}

DinvVmState dinv_vm_get_state(const DinvVm *vm) {
    return vm->state;
}

void dinv_vm_set_unready(DinvVm *vm, const char *reason) {
    vm->unready = reason;
}

DinvMachine *dinv_vm_get_machine(DinvVm *vm) {
    return vm->state > DINV_VM_STARTING && vm->state < DINV_VM_STOPPED ? vm->machine : NULL;
}

gboolean dinv_vm_found_damaged(const DinvVm *vm, DinvStateDisk kind) {
    return vm->damaged[kind];
}

DinvVmRelay *dinv_vm_get_relay(DinvVm *vm) {
    return vm->state == DINV_VM_READY || vm->state == DINV_VM_STOPPING ? vm->relay : NULL;
}

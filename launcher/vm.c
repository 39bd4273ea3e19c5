/* SPDX-License-Identifier: MIT */
#include "launcher/vm.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/console.h"
#include "launcher/control.h"
#include "launcher/guest-config.h"
#include "launcher/listener.h"
#include "launcher/log.h"

#define CONFIGURE_TIMEOUT_MS 60000u
#define STATS_TIMEOUT_MS     2000u
#define CONSOLE_TAIL_LINES   15u

typedef struct {
    char *name;
    double seconds; /* since the launcher's start */
} Phase;

struct DinvVm {
    const DinvMachinePlan *plan;
    const DinvNetworkPlan *network;
    DinvVmCallbacks callbacks;
    gpointer user;
    DinvVmState state;
    gboolean failed;
    gboolean quitting;    /* the machine was told to end without the guest */
    gboolean guest_clean; /* the guest said that its file systems are */
    guint deadline_source;
    DinvMachine *machine;
    DinvConsole *console;
    DinvControl *control;
    DinvRelayHost *relay;
    DinvListener *listener;
    GArray *phases;
    char *guest_version;
    char *guest_kernel;
    char *engine_version;
    gint64 guest_hello_us; /* the guest's own clock when its PID 1 began */
};

static const char *const state_names[] = {
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
    dinv_log(DINV_LOG_DEBUG, "vm: %s -> %s", state_names[vm->state], state_names[state]);
    vm->state = state;
}

static void add_phase(DinvVm *vm, const char *name) {
    /* A guest that sends phases without end must not grow us. */
    if (vm->phases->len < 64) {
        Phase phase = {dinv_log_printable(name), dinv_log_elapsed()};
        g_array_append_val(vm->phases, phase);
        dinv_log(DINV_LOG_DEBUG, "phase: %s", phase.name);
    }
}

static void free_phase(gpointer data) {
    g_free(((Phase *)data)->name);
}

/* --- Failing and stopping --- */

static void log_console_tail(DinvVm *vm) {
    if (vm->console == NULL) {
        return;
    }
    dinv_console_drain(vm->console);
    g_autofree char *tail = dinv_console_get_tail(vm->console, CONSOLE_TAIL_LINES);
    if (tail[0] != '\0') {
        dinv_log(DINV_LOG_ERROR, "the last lines of the guest's console (%s/console.log):\n%s",
                 vm->plan->config->state_dir, tail);
    }
}

static gboolean on_stop_deadline(gpointer user) {
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_WARNING,
             "the guest did not power off within DINV_SHUTDOWN_TIMEOUT (%.1f s), ending it now",
             vm->plan->config->shutdown_timeout_ms / 1000.0);
    vm->quitting = TRUE;
    dinv_machine_quit(vm->machine);
    return G_SOURCE_REMOVE;
}

static void begin_stopping(DinvVm *vm, gboolean ask_guest) {
    guint timeout_ms = vm->plan->config->shutdown_timeout_ms;
    set_state(vm, DINV_VM_STOPPING);
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    g_clear_pointer(&vm->listener, dinv_listener_free);
    dinv_log_waiting_for("the guest to stop its containers and power off");
    if (!ask_guest) {
        vm->quitting = TRUE;
        dinv_machine_quit(vm->machine);
        return;
    }
    /* The guest gets a little less, so that it can still sync and unmount after its deadline. */
    struct json_object *fields = json_object_new_object();
    json_object_object_add(fields, "deadline_ms",
                           json_object_new_int64((gint64)(timeout_ms - timeout_ms / 4)));
    dinv_control_request(vm->control, "shutdown", fields, timeout_ms, NULL, NULL);
    vm->deadline_source = g_timeout_add(timeout_ms, on_stop_deadline, vm);
}

/* The VM is of no use any more; the cause was logged. */
static void fail(DinvVm *vm) {
    if (vm->state >= DINV_VM_STOPPING) {
        return;
    }
    vm->failed = TRUE;
    begin_stopping(vm, FALSE);
}

void dinv_vm_stop(DinvVm *vm) {
    if (vm->state == DINV_VM_STOPPED || vm->state == DINV_VM_STARTING || vm->quitting) {
        return;
    }
    if (vm->state == DINV_VM_STOPPING) {
        dinv_log(DINV_LOG_WARNING, "asked to stop again: ending the guest at once");
        g_clear_handle_id(&vm->deadline_source, g_source_remove);
        vm->quitting = TRUE;
        dinv_machine_quit(vm->machine);
        return;
    }
    dinv_log(DINV_LOG_INFO, "stopping");
    begin_stopping(vm, vm->state >= DINV_VM_CONFIGURING);
}

static gboolean on_boot_deadline(gpointer user) {
    static const char *const missing[] = {
        [DINV_VM_BOOTING] = "the guest's agent has not said hello",
        [DINV_VM_CONFIGURING] = "the guest has not taken its configuration",
        [DINV_VM_ENGINE] = "the Docker engine in the guest has not answered",
    };
    DinvVm *vm = user;
    vm->deadline_source = 0;
    dinv_log(DINV_LOG_ERROR, "%s within %u s (DINV_BOOT_TIMEOUT), giving up", missing[vm->state],
             vm->plan->config->boot_timeout_ms / 1000);
    log_console_tail(vm);
    fail(vm);
    return G_SOURCE_REMOVE;
}

/* --- The machine --- */

static void log_unexpected_exit(DinvVm *vm, const DinvMachineExit *exit) {
    const char *qemu = vm->plan->config->qemu;
    g_autofree char *message = dinv_log_printable(exit->message);
    g_strchomp(message);
    const char *separator = message[0] != '\0' ? ": " : "";
    if (exit->kind == DINV_MACHINE_EXIT_POWEROFF) {
        dinv_log(DINV_LOG_ERROR, "the guest powered off by itself");
    } else if (exit->kind == DINV_MACHINE_EXIT_RESET) {
        dinv_log(DINV_LOG_ERROR, "the guest's kernel panicked or rebooted");
    } else if (WIFSIGNALED(exit->wait_status)) {
        int signal_number = WTERMSIG(exit->wait_status);
        dinv_log(DINV_LOG_ERROR, "%s was killed by signal %d (%s)%s%s%s", qemu, signal_number,
                 strsignal(signal_number),
                 signal_number == SIGKILL ? "; was the container out of memory?" : "", separator,
                 message);
    } else {
        dinv_log(DINV_LOG_ERROR, "%s ended with status %d%s%s", qemu,
                 WEXITSTATUS(exit->wait_status), separator, message);
    }
    log_console_tail(vm);
}

static void on_machine_exited(DinvMachine *machine, const DinvMachineExit *exit, gpointer user) {
    DinvVm *vm = user;
    (void)machine;
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_log_waiting_for(NULL);
    if (vm->state != DINV_VM_STOPPING) {
        log_unexpected_exit(vm, exit);
        vm->failed = TRUE;
    } else if (!vm->failed) {
        gboolean orderly = exit->kind == DINV_MACHINE_EXIT_POWEROFF && vm->guest_clean;
        dinv_log(DINV_LOG_INFO,
                 orderly ? "stopped; the data disk is clean"
                         : "stopped; the data disk's journal is replayed at the next start");
    }
    set_state(vm, DINV_VM_STOPPED);
    g_clear_pointer(&vm->listener, dinv_listener_free);
    vm->callbacks.stopped(vm, vm->failed, vm->user);
}

static void on_machine_paused(DinvMachine *machine, gboolean paused, const char *reason,
                              gpointer user) {
    (void)machine;
    (void)user;
    if (paused) {
        dinv_log(DINV_LOG_ERROR, "the guest is paused: %s", reason);
    } else {
        dinv_log(DINV_LOG_INFO, "the guest goes on");
    }
}

/* --- The control channel --- */

static void on_configured(struct json_object *reply, const GError *error, gpointer user) {
    DinvVm *vm = user;
    (void)reply;
    if (vm->state != DINV_VM_CONFIGURING) {
        return;
    }
    if (error != NULL) {
        dinv_log(DINV_LOG_ERROR, "the guest did not take its configuration: %s", error->message);
        log_console_tail(vm);
        fail(vm);
        return;
    }
    set_state(vm, DINV_VM_ENGINE);
    dinv_log_waiting_for("the Docker engine");
}

static void on_hello(gint64 protocol, const char *version, const char *kernel, gint64 uptime_us,
                     gpointer user) {
    DinvVm *vm = user;
    if (vm->state != DINV_VM_BOOTING) {
        return;
    }
    if (protocol != DINV_CONTROL_PROTOCOL) {
        dinv_log(DINV_LOG_ERROR,
                 "the guest image \"%s\" speaks control protocol %" G_GINT64_FORMAT
                 ", this dinv speaks %d; build the image anew with \"dinv image build\"",
                 vm->plan->config->rootfs, protocol, DINV_CONTROL_PROTOCOL);
        fail(vm);
        return;
    }
    vm->guest_version = dinv_log_printable(version);
    vm->guest_kernel = dinv_log_printable(kernel);
    vm->guest_hello_us = uptime_us;
    add_phase(vm, "hello");
    set_state(vm, DINV_VM_CONFIGURING);
    dinv_log_waiting_for("the guest to set itself up");
    g_autofree char *resolv_conf = NULL;
    (void)g_file_get_contents("/etc/resolv.conf", &resolv_conf, NULL, NULL);
    dinv_control_request(
        vm->control, "configure",
        dinv_guest_config_new(vm->plan->config, vm->network, g_get_host_name(), resolv_conf),
        MAX(CONFIGURE_TIMEOUT_MS, vm->plan->config->boot_timeout_ms), on_configured, vm);
}

static void on_phase(const char *name, gint64 uptime_us, gpointer user) {
    (void)uptime_us;
    add_phase(user, name);
}

static void on_docker_client(int fd, gpointer user) {
    DinvVm *vm = user;
    g_autoptr(GError) error = NULL;
    if (!dinv_relay_host_bridge(vm->relay, "docker", NULL, 0, fd, &error)) {
        dinv_log(DINV_LOG_WARNING, "a client of docker.sock was turned away: %s", error->message);
    }
}

static void on_relay_closed(const char *reason, gpointer user) {
    DinvVm *vm = user;
    if (vm->state < DINV_VM_STOPPING && dinv_machine_get_pid(vm->machine) != 0) {
        dinv_log(DINV_LOG_DEBUG, "%s", reason);
    }
}

static void on_ready(const char *engine, gint64 uptime_us, gpointer user) {
    DinvVm *vm = user;
    (void)uptime_us;
    /* The reply to `configure` may still be on its way behind it. */
    if (vm->state == DINV_VM_CONFIGURING) {
        set_state(vm, DINV_VM_ENGINE);
    }
    if (vm->state != DINV_VM_ENGINE) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    set_state(vm, DINV_VM_READY);
    vm->engine_version = dinv_log_printable(engine);
    add_phase(vm, "ready");
    dinv_log_waiting_for(NULL);
    dinv_log(DINV_LOG_INFO, "ready: Docker %s on %s", vm->engine_version,
             vm->plan->config->socket_path);
    dinv_listener_accept_to(vm->listener, on_docker_client, vm);
    vm->callbacks.ready(vm, vm->user);
}

static void on_guest_log(DinvLogLevel level, const char *text, gpointer user) {
    (void)user;
    g_autofree char *printable = dinv_log_printable(text);
    dinv_log(level, "guest: %s", printable);
}

static void on_guest_failed(const char *what, const char *text, const char *log, gpointer user) {
    DinvVm *vm = user;
    g_autofree char *printable_what = dinv_log_printable(what);
    g_autofree char *printable_text = dinv_log_printable(text);
    if (vm->state >= DINV_VM_STOPPING) {
        return;
    }
    dinv_log(DINV_LOG_ERROR, "the guest failed (%s): %s", printable_what, printable_text);
    if (log != NULL && log[0] != '\0') {
        g_autofree char *printable_log = dinv_log_printable(log);
        g_strchomp(printable_log);
        dinv_log(DINV_LOG_ERROR, "the last lines of dockerd's log:\n%s", printable_log);
    }
    /* It unmounts and powers off by itself; the deadline is for one that does not. */
    vm->failed = TRUE;
    set_state(vm, DINV_VM_STOPPING);
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    g_clear_pointer(&vm->listener, dinv_listener_free);
    vm->deadline_source =
        g_timeout_add(vm->plan->config->shutdown_timeout_ms, on_stop_deadline, vm);
}

static void on_guest_exiting(gboolean clean, gpointer user) {
    DinvVm *vm = user;
    vm->guest_clean = clean;
}

static void on_control_closed(gpointer user) {
    DinvVm *vm = user;
    dinv_log(DINV_LOG_DEBUG, "vm: control channel closed in state %s", state_names[vm->state]);
}

/* --- Start --- */

static const DinvControlCallbacks control_callbacks = {
    .hello = on_hello,
    .phase = on_phase,
    .ready = on_ready,
    .log = on_guest_log,
    .failed = on_guest_failed,
    .exiting = on_guest_exiting,
    .closed = on_control_closed,
};

gboolean dinv_vm_start(DinvVm *vm, GError **error) {
    const DinvConfig *config = vm->plan->config;
    vm->listener = dinv_listener_new(config->socket_path, config->socket_mode, config->socket_uid,
                                     config->socket_gid, error);
    if (vm->listener == NULL || !dinv_machine_start(vm->machine, error)) {
        g_clear_pointer(&vm->listener, dinv_listener_free);
        return FALSE;
    }
    g_autofree char *console_path = g_build_filename(config->state_dir, "console.log", NULL);
    vm->console = dinv_console_new(dinv_machine_take_console_fd(vm->machine), console_path, error);
    if (vm->console == NULL) {
        g_clear_pointer(&vm->machine, dinv_machine_free);
        g_clear_pointer(&vm->listener, dinv_listener_free);
        return FALSE;
    }
    vm->control =
        dinv_control_new(dinv_machine_take_control_fd(vm->machine), &control_callbacks, vm);
    vm->relay = dinv_relay_host_new(dinv_machine_take_relay_fd(vm->machine), on_relay_closed, vm);
    add_phase(vm, "machine-started");
    set_state(vm, DINV_VM_BOOTING);
    vm->deadline_source = g_timeout_add(config->boot_timeout_ms, on_boot_deadline, vm);
    dinv_log(DINV_LOG_INFO, "booting: %s, %u CPU%s, %" G_GUINT64_FORMAT " MiB",
             vm->plan->use_kvm ? "KVM" : "TCG (emulated, slow)", config->cpus,
             config->cpus == 1 ? "" : "s", config->memory_bytes >> 20);
    dinv_log_waiting_for("the guest's kernel");
    return TRUE;
}

DinvVm *dinv_vm_new(const DinvMachinePlan *plan, const DinvNetworkPlan *network,
                    const DinvVmCallbacks *callbacks, gpointer user) {
    static const DinvMachineCallbacks machine_callbacks = {.exited = on_machine_exited,
                                                           .paused = on_machine_paused};
    DinvVm *vm = g_new0(DinvVm, 1);
    vm->plan = plan;
    vm->network = network;
    vm->callbacks = *callbacks;
    vm->user = user;
    vm->phases = g_array_new(FALSE, FALSE, sizeof(Phase));
    g_array_set_clear_func(vm->phases, free_phase);
    vm->machine = dinv_machine_new(plan, &machine_callbacks, vm);
    return vm;
}

void dinv_vm_free(DinvVm *vm) {
    if (vm == NULL) {
        return;
    }
    g_clear_handle_id(&vm->deadline_source, g_source_remove);
    dinv_listener_free(vm->listener);
    dinv_relay_host_free(vm->relay);
    dinv_control_free(vm->control);
    dinv_machine_free(vm->machine);
    dinv_console_free(vm->console);
    g_array_unref(vm->phases);
    g_free(vm->guest_version);
    g_free(vm->guest_kernel);
    g_free(vm->engine_version);
    g_free(vm);
}

DinvVmState dinv_vm_get_state(const DinvVm *vm) {
    return vm->state;
}

DinvRelayHost *dinv_vm_get_relay(DinvVm *vm) {
    return vm->state == DINV_VM_READY || vm->state == DINV_VM_STOPPING ? vm->relay : NULL;
}

/* --- Status --- */

static void add_string(struct json_object *object, const char *key, const char *value) {
    json_object_object_add(object, key, value != NULL ? json_object_new_string(value) : NULL);
}

static void add_int(struct json_object *object, const char *key, guint64 value) {
    json_object_object_add(object, key, json_object_new_int64((gint64)value));
}

static struct json_object *describe_phases(const DinvVm *vm) {
    struct json_object *phases = json_object_new_array();
    for (guint i = 0; i < vm->phases->len; i++) {
        const Phase *phase = &g_array_index(vm->phases, Phase, i);
        struct json_object *item = json_object_new_object();
        add_string(item, "name", phase->name);
        json_object_object_add(item, "seconds", json_object_new_double(phase->seconds));
        json_object_array_add(phases, item);
    }
    return phases;
}

static struct json_object *describe_ports(const DinvConfig *config) {
    struct json_object *ports = json_object_new_array();
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        struct json_object *item = json_object_new_object();
        add_string(item, "protocol", forward->protocol == DINV_PROTOCOL_TCP ? "tcp" : "udp");
        add_int(item, "host_port", forward->host_port);
        add_int(item, "guest_port", forward->guest_port);
        json_object_array_add(ports, item);
    }
    return ports;
}

static struct json_object *describe_mounts(const DinvConfig *config) {
    struct json_object *mounts = json_object_new_array();
    for (guint i = 0; i < config->mounts->len; i++) {
        const DinvMountSpec *spec = g_ptr_array_index(config->mounts, i);
        struct json_object *item = json_object_new_object();
        add_string(item, "source", spec->source);
        add_string(item, "target", spec->target);
        json_object_object_add(item, "readonly", json_object_new_boolean(spec->readonly));
        json_object_array_add(mounts, item);
    }
    return mounts;
}

static struct json_object *describe_network(const DinvNetworkPlan *plan) {
    struct json_object *network = json_object_new_object();
    g_autofree char *slirp = dinv_network_to_string(&plan->slirp);
    g_autofree char *bridge = dinv_network_to_string(&plan->bridge);
    add_string(network, "slirp", slirp);
    add_string(network, "bridge", bridge);
    return network;
}

static struct json_object *describe_relay(const DinvVm *vm) {
    DinvRelayStats stats = {0};
    if (vm->relay != NULL) {
        dinv_relay_host_get_stats(vm->relay, &stats);
    }
    struct json_object *relay = json_object_new_object();
    add_int(relay, "streams", stats.streams);
    add_int(relay, "opened_total", stats.opened_total);
    add_int(relay, "bytes_in", stats.bytes_in);
    add_int(relay, "bytes_out", stats.bytes_out);
    add_int(relay, "memory", stats.memory);
    return relay;
}

static struct json_object *describe(const DinvVm *vm) {
    const DinvConfig *config = vm->plan->config;
    struct json_object *status = json_object_new_object();
    add_string(status, "state", state_names[vm->state]);
    add_string(status, "version", DINV_VERSION);
    add_int(status, "pid", (guint64)getpid());
    add_int(status, "qemu_pid", (guint64)dinv_machine_get_pid(vm->machine));
    add_string(status, "accel", vm->plan->use_kvm ? "kvm" : "tcg");
    add_int(status, "cpus", config->cpus);
    add_int(status, "memory_bytes", config->memory_bytes);
    add_int(status, "disk_bytes", config->disk_bytes);
    add_string(status, "socket", config->socket_path);
    add_string(status, "state_dir", config->state_dir);
    json_object_object_add(status, "uptime_s", json_object_new_double(dinv_log_elapsed()));
    json_object_object_add(status, "phases", describe_phases(vm));
    add_int(status, "guest_hello_us", (guint64)vm->guest_hello_us);
    add_string(status, "guest_version", vm->guest_version);
    add_string(status, "guest_kernel", vm->guest_kernel);
    add_string(status, "engine", vm->engine_version);
    json_object_object_add(status, "network", describe_network(vm->network));
    json_object_object_add(status, "ports", describe_ports(config));
    json_object_object_add(status, "mounts", describe_mounts(config));
    json_object_object_add(status, "relay", describe_relay(vm));
    return status;
}

typedef struct {
    struct json_object *status;
    void (*callback)(struct json_object *status, gpointer user);
    gpointer user;
} StatusCall;

static void on_stats(struct json_object *reply, const GError *error, gpointer user) {
    StatusCall *call = user;
    (void)error;
    json_object_object_add(call->status, "guest", reply != NULL ? json_object_get(reply) : NULL);
    call->callback(call->status, call->user);
    json_object_put(call->status);
    g_free(call);
}

void dinv_vm_get_status(DinvVm *vm, void (*callback)(struct json_object *status, gpointer user),
                        gpointer user) {
    StatusCall *call = g_new0(StatusCall, 1);
    call->status = describe(vm);
    call->callback = callback;
    call->user = user;
    if (vm->state == DINV_VM_READY) {
        dinv_control_request(vm->control, "stats", NULL, STATS_TIMEOUT_MS, on_stats, call);
    } else {
        on_stats(NULL, NULL, call);
    }
}

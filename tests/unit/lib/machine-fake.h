/* SPDX-License-Identifier: MIT */
/*
 * A machine that runs nothing: it takes the place of launcher/machine/qemu/qemu.c in a test
 * program, so that the test plays the guest at the other ends of the channels and says how the
 * machine ends. And a vm on it, with what its log said. Included once per test program.
 */
#pragma once

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/machine/machine.h"
#include "launcher/vm/vm.h"
#include "tests/unit/lib/log-capture.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/usernet-fake.h"
#include "tests/unit/lib/wait-until.h"

/* --- The machine --- */

typedef enum { FAKE_CONTROL, FAKE_RELAY, FAKE_CONSOLE, FAKE_CHANNELS } FakeChannel;

struct DinvMachine {
    DinvMachineCallbacks callbacks;
    gpointer user;
    int launcher[FAKE_CHANNELS];
    int guest[FAKE_CHANNELS]; /* the test's ends */
    gboolean runs;
    guint quits;
};

static DinvMachine *fake;           /* the one there is, if any */
static gboolean fake_refuses_start; /* dinv_machine_start() fails */

static inline void fake_close(int *fds) {
    for (guint i = 0; i < FAKE_CHANNELS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
}

DinvMachine *dinv_machine_new(const DinvMachinePlan *plan, const DinvMachineCallbacks *callbacks,
                              gpointer user) {
    (void)plan;
    g_assert_null(fake);
    fake = g_new0(DinvMachine, 1);
    fake->callbacks = *callbacks;
    fake->user = user;
    memset(fake->launcher, -1, sizeof fake->launcher);
    memset(fake->guest, -1, sizeof fake->guest);
    return fake;
}

gboolean dinv_machine_start(DinvMachine *machine, int network_fd, GError **error) {
    (void)network_fd;
    if (fake_refuses_start) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no machine today");
        return FALSE;
    }
    for (guint i = 0; i < FAKE_CHANNELS; i++) {
        int fds[2];
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==,
                        0);
        machine->launcher[i] = fds[0];
        machine->guest[i] = fds[1];
    }
    machine->runs = TRUE;
    return TRUE;
}

static inline int fake_take(DinvMachine *machine, FakeChannel channel) {
    int fd = machine->launcher[channel];
    g_assert_cmpint(fd, >=, 0);
    machine->launcher[channel] = -1;
    return fd;
}

int dinv_machine_take_control_fd(DinvMachine *machine) {
    return fake_take(machine, FAKE_CONTROL);
}

int dinv_machine_take_relay_fd(DinvMachine *machine) {
    return fake_take(machine, FAKE_RELAY);
}

int dinv_machine_take_console_fd(DinvMachine *machine) {
    return fake_take(machine, FAKE_CONSOLE);
}

void dinv_machine_quit(DinvMachine *machine) {
    machine->quits++;
}

const char *dinv_machine_get_confinement(const DinvMachine *machine G_GNUC_UNUSED) {
    return "no_new_privs";
}

GPid dinv_machine_get_pid(const DinvMachine *machine) {
    return machine->runs ? 4242 : 0;
}

DinvMachineKvmState dinv_machine_get_kvm_state(const DinvMachine *machine G_GNUC_UNUSED) {
    return DINV_MACHINE_KVM_UNKNOWN;
}

void dinv_machine_free(DinvMachine *machine) {
    if (machine != NULL) {
        g_assert_true(machine == fake);
        fake_close(machine->launcher);
        fake_close(machine->guest);
        g_clear_pointer(&fake, g_free);
    }
}

/* The machine ends: its ends of the channels are closed, with what was said in them still there. */
static inline void fake_exit(DinvMachineExitKind kind, int wait_status, const char *message) {
    const DinvMachineExit exit = {.kind = kind, .wait_status = wait_status, .message = message};
    fake_close(fake->guest);
    fake->runs = FALSE;
    fake->callbacks.exited(fake, &exit, fake->user);
}

/* --- The guest --- */

static inline void run_loop(void) {
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* Writes `text` into the channel, without a turn of the loop. */
static inline void fake_write(FakeChannel channel, const char *text) {
    g_assert_cmpint(write(fake->guest[channel], text, strlen(text)), ==, (ssize_t)strlen(text));
}

/* The guest says a line on the control channel, and the launcher hears it. */
static inline void fake_says(const char *text) {
    fake_write(FAKE_CONTROL, text);
    fake_write(FAKE_CONTROL, "\n");
    run_loop();
}

static inline gboolean fake_read_byte(char *byte) {
    return read(fake->guest[FAKE_CONTROL], byte, 1) == 1;
}

/* The launcher's next request, which must be for `verb`. Transfer full. */
static inline struct json_object *fake_hears(const char *verb) {
    g_autoptr(GString) line = g_string_new(NULL);
    char byte = '\0';
    while (byte != '\n') {
        wait_until(fake_read_byte(&byte));
        g_string_append_c(line, byte);
    }
    struct json_object *request = json_tokener_parse(line->str);
    g_assert_nonnull(request);
    g_assert_cmpstr(json_object_get_string(json_object_object_get(request, "verb")), ==, verb);
    return request;
}

/* Answers `request` (taken) with {"reply": its id, FIELDS}. */
static inline void fake_answers(struct json_object *request, const char *fields) {
    g_autofree char *line = g_strdup_printf(
        "{\"reply\":%d,%s}", json_object_get_int(json_object_object_get(request, "id")), fields);
    json_object_put(request);
    fake_says(line);
}

#define FAKE_HELLO                                                                                 \
    "{\"event\":\"hello\",\"protocol\":1,\"version\":\"0.1\",\"kernel\":\"6.12\","                 \
    "\"uptime_us\":7}"
#define FAKE_READY "{\"event\":\"ready\",\"engine\":\"26.1.5\"}"

/* --- A vm on it --- */

typedef struct {
    Scratch scratch;
    DinvConfig config;
    DinvMachinePlan plan;
    DinvEngineConfig *engine;
    GPtrArray *mounts;
    DinvEngineNetworkPlan *network;
    DinvVm *vm;
    LogCapture log;
    guint readies;
    guint stops;
    gboolean failed;
    DinvVmEndpoints *endpoints; /* bound by vm_start() */
} VmFixture;

static inline void vm_on_ready(DinvVm *vm, gpointer user) {
    VmFixture *fixture = user;
    g_assert_cmpint(dinv_vm_get_state(vm), ==, DINV_VM_READY);
    fixture->readies++;
}

static inline void vm_on_stopped(DinvVm *vm, gboolean failed, gpointer user) {
    VmFixture *fixture = user;
    g_assert_cmpint(dinv_vm_get_state(vm), ==, DINV_VM_STOPPED);
    fixture->stops++;
    fixture->failed = failed;
}

static inline void vm_set_up(VmFixture *fixture, gconstpointer data) {
    static const DinvVmCallbacks callbacks = {vm_on_ready, vm_on_stopped};
    g_autoptr(GArray) outer = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
    (void)data;
    scratch_make(&fixture->scratch);
    fixture->config = (DinvConfig){
        .cpus = 2,
        .memory_bytes = 512u << 20,
        .disk_bytes = 1024u << 20,
        .state_dir = g_strdup(fixture->scratch.path),
        .socket_path = scratch_path(&fixture->scratch, "docker.sock"),
        .socket_uid = (uid_t)-1,
        .socket_gid = (gid_t)-1,
        .socket_mode = 0600,
        .ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward)),
        .dockerd_args = g_new0(char *, 1),
        .config_dir = (char *)"/nowhere",
        .shutdown_timeout_ms = GUARD_MS,
        .boot_timeout_ms = GUARD_MS,
        .mtu = 65520,
        .rootfs = g_strdup("rootfs.ext4"),
        .qemu = g_strdup("qemu"),
        .log_level = DINV_LOG_INFO,
    };
    char *const no_variables[] = {NULL};
    fixture->engine = dinv_engine_config_read(&fixture->config, "/nowhere", no_variables, NULL);
    fixture->network = dinv_engine_network_plan_for(&fixture->config, fixture->engine, outer);
    fixture->mounts = g_ptr_array_new();
    fixture->plan = (DinvMachinePlan){.accel = DINV_MACHINE_TCG,
                                      .program = fixture->config.qemu,
                                      .cpus = fixture->config.cpus,
                                      .config = &fixture->config,
                                      .mounts = fixture->mounts};
    log_capture_begin(&fixture->log);
    dinv_log_start(DINV_LOG_INFO);
    fixture->vm =
        dinv_vm_new(&fixture->plan, fixture->engine, fixture->network, &callbacks, fixture);
}

static inline void vm_tear_down(VmFixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_free(fixture->vm);
    dinv_vm_endpoints_free(fixture->endpoints);
    g_assert_null(fake);
    g_assert_null(fake_usernet);
    run_loop();
    log_capture_end(&fixture->log);
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS));
    scratch_remove(&fixture->scratch);
    dinv_engine_network_plan_free(fixture->network);
    dinv_engine_config_free(fixture->engine);
    g_array_unref(fixture->config.ports);
    g_ptr_array_unref(fixture->mounts);
    g_strfreev(fixture->config.dockerd_args);
    g_free(fixture->config.state_dir);
    g_free(fixture->config.socket_path);
    g_free(fixture->config.rootfs);
    g_free(fixture->config.qemu);
}

static inline guint vm_count_log(const VmFixture *fixture, const char *text) {
    return log_capture_count(&fixture->log, text);
}

#define vm_assert_logged(fixture, text)                                                            \
    do {                                                                                           \
        g_autofree char *vm_log = log_capture_get(&(fixture)->log);                                \
        if (strstr(vm_log, text) == NULL) {                                                        \
            g_test_message("the log:\n%s", vm_log);                                                \
            g_assert_nonnull(strstr(vm_log, text));                                                \
        }                                                                                          \
    } while (0)

static inline void vm_start(VmFixture *fixture) {
    g_autoptr(GError) error = NULL;
    fixture->endpoints = dinv_vm_endpoints_new(&fixture->config, &error);
    g_assert_no_error(error);
    gboolean started = dinv_vm_start(fixture->vm, fixture->endpoints, &error);
    g_assert_no_error(error);
    g_assert_true(started);
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, DINV_VM_BOOTING);
}

/* Goes on from BOOTING as a guest without trouble does, up to `state`. */
static inline void vm_reach(VmFixture *fixture, DinvVmState state) {
    if (state >= DINV_VM_CONFIGURING) {
        fake_says(FAKE_HELLO);
    }
    if (state >= DINV_VM_ENGINE) {
        fake_answers(fake_hears("configure"), "\"ok\":true");
    }
    if (state >= DINV_VM_READY) {
        fake_says(FAKE_READY);
    }
    g_assert_cmpint(dinv_vm_get_state(fixture->vm), ==, state);
}

/* A client of docker.sock. Nonblocking; the caller closes it. */
static inline int vm_connect_docker(const VmFixture *fixture) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->config.socket_path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

/* Adds the test once for each state, which it gets as its data: /launcher/vm/NAME/STATE. */
static inline void vm_add_by_state(const char *name, DinvVmState first, DinvVmState last,
                                   void (*function)(VmFixture *, gconstpointer)) {
    static const char *const names[] = {"starting", "booting", "configuring",
                                        "engine",   "ready",   "stopping"};
    for (DinvVmState state = first; state <= last; state++) {
        g_autofree char *path = g_strdup_printf("/launcher/vm/%s/%s", name, names[state]);
        g_test_add(path, VmFixture, GINT_TO_POINTER((int)state), vm_set_up, function, vm_tear_down);
    }
}

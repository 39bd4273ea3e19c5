/* SPDX-License-Identifier: MIT */
/*
 * The machine of machine.h as User-Mode Linux: its start and its end.
 *
 * Theory of operation. The kernel is one process; programs of the guest run in children of it,
 * which ask to be killed when it ends. It inherits its ends of the channels and of the network, and
 * its disks, and is confined to them before it runs (cage.h). It has no monitor, and needs none:
 * how it ended is in its wait status, and to end it at once is to kill it. What the guest has
 * written is in the page cache of the images by then.
 */
#include "launcher/machine/uml/uml.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/machine/implementation.h"
#include "launcher/machine/uml/argv.h"
#include "launcher/machine/uml/cage.h"
#include "launcher/machine/uml/placement.h"

typedef struct {
    DinvMachine base;
    DinvUmlPlacement *placement;
    gboolean waits; /* for space on a disk, as our user was told */
} DinvUml;

/* ---- what it says ---- */

/* The kernel waits with its disk by itself while the file system under an image is full; these are
 * its words for the two ends of that. */
static void uml_on_said(const char *line, gpointer user) {
    DinvUml *uml = user;
    DinvMachine *machine = &uml->base;
    gboolean waits = g_str_has_prefix(line, DINV_UML_FULL_TEXT);
    if (machine->callbacks.paused == NULL || waits == uml->waits ||
        (!waits && !g_str_has_prefix(line, DINV_UML_ROOM_TEXT))) {
        return;
    }
    uml->waits = waits;
    g_autofree char *reason = g_strdup_printf(
        "no space left for %s; the guest goes on when there is some", machine->plan->data_image);
    machine->callbacks.paused(machine, waits, waits ? reason : "", machine->user);
}

/* ---- the end ---- */

static DinvMachineExitKind exit_kind(const DinvMachine *machine) {
    const char *said = dinv_machine_process_get_stderr(machine->process);
    int status = machine->wait_status;
    if (machine->asked_to_end) {
        return DINV_MACHINE_EXIT_QUIT;
    }
    if ((WIFEXITED(status) && strstr(said, DINV_UML_REBOOT_TEXT) != NULL) ||
        (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)) {
        return DINV_MACHINE_EXIT_RESET; /* a reboot; a panic */
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? DINV_MACHINE_EXIT_POWEROFF
                                                         : DINV_MACHINE_EXIT_DIED;
}

static void uml_on_process_gone(DinvMachineProcess *process G_GNUC_UNUSED, int wait_status,
                                gpointer user) {
    DinvUml *uml = user;
    uml->base.process_gone = TRUE;
    uml->base.wait_status = wait_status;
    g_clear_pointer(&uml->placement, dinv_uml_placement_free);
    dinv_machine_tell_exit(&uml->base, exit_kind(&uml->base));
}

static void uml_quit(DinvMachine *machine) {
    dinv_machine_process_kill(machine->process);
}

/* ---- the start ---- */

/* Appends a descriptor of a disk to `fds`; the number that it will have in the kernel, or -1. */
static int open_disk(GArray *fds, const char *path, int flags, GError **error) {
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int number = errno;
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(number), "cannot open \"%s\": %s",
                    path, g_strerror(number));
        return -1;
    }
    g_array_append_val(fds, fd);
    return DINV_MACHINE_PROCESS_FIRST_FD + (int)fds->len - 1;
}

/* The descriptors `fds`, which the caller closes, begin with the disks; the others follow in an
 * array of their own, as they have other owners. */
static gboolean open_disks(const DinvMachinePlan *plan, GArray *fds, DinvUmlFds *numbers,
                           GError **error) {
    numbers->root = open_disk(fds, plan->config->rootfs, O_RDONLY, error);
    if (numbers->root < 0) {
        return FALSE;
    }
    numbers->data = open_disk(fds, plan->data_image, O_RDWR, error);
    if (numbers->data < 0) {
        return FALSE;
    }
    if (plan->volume_image != NULL) {
        numbers->volume = open_disk(fds, plan->volume_image, O_RDWR, error);
    }
    return plan->volume_image == NULL || numbers->volume >= 0;
}

static void append_others(const DinvMachine *machine, const int *theirs, int network_fd,
                          GArray *fds, DinvUmlFds *numbers) {
    int next = DINV_MACHINE_PROCESS_FIRST_FD + (int)fds->len;
    g_array_append_vals(fds, theirs, DINV_MACHINE_CHANNEL_COUNT);
    numbers->control = next + DINV_MACHINE_CHANNEL_CONTROL;
    numbers->relay = next + DINV_MACHINE_CHANNEL_RELAY;
    numbers->console = next + DINV_MACHINE_CHANNEL_CONSOLE;
    next += DINV_MACHINE_CHANNEL_COUNT;
    numbers->network = next;
    g_array_append_val(fds, network_fd);
    numbers->first_share = next + 1;
    if (machine->virtiofs != NULL) {
        const GArray *shares = dinv_machine_virtiofs_get_fds(machine->virtiofs);
        g_array_append_vals(fds, shares->data, shares->len);
    }
}

/* Spawns the kernel with the descriptors `fds`, which get those of the cage behind them. */
static DinvMachineProcess *spawn_kernel(DinvUml *uml, GArray *fds, DinvUmlFds *numbers,
                                        GError **error) {
    DinvMachine *machine = &uml->base;
    const DinvMachinePlan *plan = machine->plan;
    const int disks[] = {numbers->root, numbers->data, numbers->volume};
    DinvUmlCage cage;
    if (!dinv_uml_cage_init(&cage, plan->config->uml_kernel, plan->uml.use_ptrace,
                            plan->uml.opens_files, DINV_MACHINE_PROCESS_FIRST_FD + (int)fds->len,
                            disks, plan->volume_image != NULL ? 3 : 2, error)) {
        return NULL;
    }
    numbers->cpuinfo = cage.cpuinfo;
    DinvConfinement in_force = {0};
    g_auto(GStrv) argv = dinv_uml_argv(plan, numbers, dinv_uml_placement_get_pins(uml->placement));
    DinvMachineProcess *process =
        dinv_uml_cage_spawn(&cage, argv, fds, &in_force, uml_on_process_gone, uml, error);
    if (process != NULL) {
        machine->confinement = dinv_uml_cage_describe(&in_force, plan->uml.opens_files);
    }
    return process;
}

/* The kernel and what serves its shares. `disks` is empty, for what the caller is to close. */
static gboolean start_process(DinvUml *uml, const int *theirs, int network_fd, GArray *disks,
                              GError **error) {
    DinvMachine *machine = &uml->base;
    DinvUmlFds numbers = {.volume = -1};
    if (!dinv_machine_start_shares(machine, error) ||
        !open_disks(machine->plan, disks, &numbers, error)) {
        return FALSE;
    }
    g_autoptr(GArray) fds = g_array_copy(disks);
    append_others(machine, theirs, network_fd, fds, &numbers);
    uml->placement = dinv_uml_placement_new(machine->plan->cpus);
    machine->process = spawn_kernel(uml, fds, &numbers, error);
    if (machine->virtiofs != NULL) {
        dinv_machine_virtiofs_close_fds(machine->virtiofs);
    }
    if (machine->process == NULL) {
        g_clear_pointer(&uml->placement, dinv_uml_placement_free);
        g_prefix_error(error, "cannot start User-Mode Linux (DINV_UML_KERNEL=%s): ",
                       machine->plan->config->uml_kernel);
        return FALSE;
    }
    dinv_machine_process_tell_lines(machine->process, uml_on_said);
    dinv_uml_placement_watch(uml->placement, dinv_machine_process_get_pid(machine->process));
    return TRUE;
}

static gboolean uml_start(DinvMachine *machine, int network_fd, GError **error) {
    int theirs[DINV_MACHINE_CHANNEL_COUNT];
    g_autoptr(GArray) disks = g_array_new(FALSE, FALSE, sizeof(int));
    gboolean started = dinv_machine_open_channels(machine, theirs, error) &&
                       start_process((DinvUml *)machine, theirs, network_fd, disks, error);
    dinv_machine_close_fds(theirs, G_N_ELEMENTS(theirs));
    dinv_machine_close_fds((int *)(void *)disks->data, disks->len);
    return started;
}

static void uml_clear(DinvMachine *machine) {
    g_clear_pointer(&((DinvUml *)machine)->placement, dinv_uml_placement_free);
}

const DinvMachineOps dinv_machine_uml = {
    .size = sizeof(DinvUml),
    .start = uml_start,
    .quit = uml_quit,
    .clear = uml_clear,
};

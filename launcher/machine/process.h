/* SPDX-License-Identifier: MIT */
/*
 * A child process that serves the guest (QEMU, User-Mode Linux, virtiofsd): spawned with care,
 * watched, its last words kept. Nothing here knows what the program is told.
 */
#pragma once

#include <glib.h>

#include "confine/confine.h"

typedef struct DinvMachineProcess DinvMachineProcess;

/* The first descriptor number that the child sees for `fds`. */
#define DINV_MACHINE_PROCESS_FIRST_FD 3
/* Most bytes of stderr that are kept: the last ones, whole lines. */
#define DINV_MACHINE_PROCESS_STDERR_MAX 4096u
#define DINV_MACHINE_PROCESS_LINE_MAX   1024u

/* The process ended and was reaped; its stderr has been read. The last callback; it may free the
 * process. `wait_status` as of waitpid(2). */
typedef void (*DinvMachineProcessGone)(DinvMachineProcess *process, int wait_status, gpointer user);

/* Starts argv[0] (looked for in PATH) with descriptors 0 to 2 (stdin and stdout null, stderr ours),
 * fds[i] as DINV_MACHINE_PROCESS_FIRST_FD + i, and nothing else. All descriptors stay the
 * caller's. The child is a process group of its own, so that
 * Ctrl-C in a terminal does not reach it; it is killed when the calling thread ends (that has to be
 * the main thread); it leaves no core file, and its soft limit of descriptors is the hard one.
 * Returns once the program runs, or NULL: the message names the program. Callbacks come from the
 * default main context. */
DinvMachineProcess *dinv_machine_process_spawn(char **argv, const int *fds, gsize fd_count,
                                               DinvMachineProcessGone gone, gpointer user,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A program in a cage (confine/confine.h). */
typedef struct {
    gsize program; /* which of the descriptors is its file, static; closed when it starts */
    const DinvConfinePlan *plan; /* descriptors by their numbers in the child */
    DinvConfinement *in_force;   /* out: what of it there is */
} DinvMachineProcessCage;

/* The same, but the program is confined before it starts, and argv[0] is only what it is called.
 * NULL also if it is no program that can be started so. */
DinvMachineProcess *dinv_machine_process_spawn_caged(const DinvMachineProcessCage *cage,
                                                     char **argv, const int *fds, gsize fd_count,
                                                     DinvMachineProcessGone gone, gpointer user,
                                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Has each line that the process says on stderr told, without its newline and cut at
 * DINV_MACHINE_PROCESS_LINE_MAX bytes; it is untrusted and borrowed. `told` must not free the
 * process. Right after the start, so that none is missed. */
typedef void (*DinvMachineProcessLine)(const char *line, gpointer user);
void dinv_machine_process_tell_lines(DinvMachineProcess *process, DinvMachineProcessLine told);

/* 0 once it was reaped. */
GPid dinv_machine_process_get_pid(const DinvMachineProcess *process);

/* The last lines of its stderr, valid UTF-8 without control characters but newline; borrowed until
 * free. To be asked for in or after `gone`. */
const char *dinv_machine_process_get_stderr(DinvMachineProcess *process);

/* SIGKILL, if it still runs; `gone` follows. */
void dinv_machine_process_kill(DinvMachineProcess *process);

/* Kills it if it still runs, and then waits until it is gone; no callback. NULL is ignored. */
void dinv_machine_process_free(DinvMachineProcess *process);

/* SPDX-License-Identifier: MIT */
/*
 * A child process that serves the guest (QEMU, virtiofsd): spawned with care, watched, its last
 * words kept. Nothing here knows what the program is told.
 */
#pragma once

#include <glib.h>

typedef struct DinvMachineProcess DinvMachineProcess;

/* The first descriptor number that the child sees for `fds`. */
#define DINV_MACHINE_PROCESS_FIRST_FD 3
/* Most bytes of stderr that are kept: the last ones, whole lines. */
#define DINV_MACHINE_PROCESS_STDERR_MAX 4096u

/* The process ended and was reaped; its stderr has been read. The last callback; it may free the
 * process. `wait_status` as of waitpid(2). */
typedef void (*DinvMachineProcessGone)(DinvMachineProcess *process, int wait_status, gpointer user);

/* Starts argv[0] (looked for in PATH) with descriptors 0 to 2 (stdin and stdout null, stderr ours),
 * fds[i] as DINV_MACHINE_PROCESS_FIRST_FD + i, and nothing else. `preload_fd`, if it is not -1, is
 * a shared object that the child's dynamic linker loads first; the child has it as the descriptor
 * after those. All descriptors stay the caller's. The child is a process group of its own, so that
 * Ctrl-C in a terminal does not reach it; it is killed when the calling thread ends (that has to be
 * the main thread); it leaves no core file, and its soft limit of descriptors is the hard one.
 * Returns once the program runs, or NULL: the message names the program. Callbacks come from the
 * default main context. */
DinvMachineProcess *dinv_machine_process_spawn(char **argv, const int *fds, gsize fd_count,
                                               int preload_fd, DinvMachineProcessGone gone,
                                               gpointer user,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A line that the process has said on stderr, without its newline, up to
 * DINV_MACHINE_PROCESS_STDERR_MAX bytes of it; what bytes ever. Borrowed. */
typedef void (*DinvMachineProcessSaid)(const char *line, gpointer user);

/* The same for a `program`, a path, that is not called as its argv says. `said`, if it is not NULL,
 * is told each line at once; it is not called any more after `gone` or free. */
DinvMachineProcess *dinv_machine_process_spawn_named(const char *program, char **argv,
                                                     const int *fds, gsize fd_count,
                                                     DinvMachineProcessSaid said,
                                                     DinvMachineProcessGone gone, gpointer user,
                                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* 0 once it was reaped. */
GPid dinv_machine_process_get_pid(const DinvMachineProcess *process);

/* The last lines of its stderr, valid UTF-8 without control characters but newline; borrowed until
 * free. To be asked for in or after `gone`. */
const char *dinv_machine_process_get_stderr(DinvMachineProcess *process);

/* SIGKILL, if it still runs; `gone` follows. */
void dinv_machine_process_kill(DinvMachineProcess *process);

/* Kills it if it still runs, and then waits until it is gone; no callback. NULL is ignored. */
void dinv_machine_process_free(DinvMachineProcess *process);

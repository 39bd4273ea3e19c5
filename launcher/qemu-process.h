/* SPDX-License-Identifier: MIT */
/*
 * The QEMU child process: spawned with care, watched, its last words kept. Nothing here knows what
 * QEMU is told. Private to machine-qemu.c.
 */
#pragma once

#include <glib.h>

typedef struct DinvQemuProcess DinvQemuProcess;

/* The first descriptor number that the child sees for `fds`. */
#define DINV_QEMU_FIRST_FD 3
/* Most bytes of stderr that are kept: the last ones, whole lines. */
#define DINV_QEMU_STDERR_MAX 4096u

/* The process ended and was reaped; its stderr has been read. The last callback; it may free the
 * process. `wait_status` as of waitpid(2). */
typedef void (*DinvQemuProcessGone)(DinvQemuProcess *process, int wait_status, gpointer user);

/* Starts argv[0] (looked for in PATH) with descriptors 0 to 2 (stdin and stdout null, stderr ours)
 * and fds[i] as 3+i, and nothing else but what it is preloaded with. The child is a process group
 * of its own, so that Ctrl-C in a terminal does not reach it; it is killed when the calling thread
 * ends (that has to be the main thread); it leaves no core file. `fds` stay the caller's. Returns
 * once the program runs, or NULL: the message names the program. Callbacks come from the default
 * main context. */
DinvQemuProcess *dinv_qemu_process_spawn(char **argv, const int *fds, gsize fd_count,
                                         DinvQemuProcessGone gone, gpointer user,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* 0 once it was reaped. */
GPid dinv_qemu_process_get_pid(const DinvQemuProcess *process);

/* The last lines of its stderr, valid UTF-8 without control characters but newline; borrowed until
 * free. To be asked for in or after `gone`. */
const char *dinv_qemu_process_get_stderr(DinvQemuProcess *process);

/* SIGKILL, if it still runs; `gone` follows. */
void dinv_qemu_process_kill(DinvQemuProcess *process);

/* Kills it if it still runs, and then waits until it is gone; no callback. NULL is ignored. */
void dinv_qemu_process_free(DinvQemuProcess *process);

/* SPDX-License-Identifier: MIT */
/*
 * The guest's console, which is untrusted bytes: kept in a file of bounded size (the one before it
 * beside it as PATH.1), its last lines in memory for the message when the guest dies.
 */
#pragma once

#include <gio/gio.h>

typedef struct DinvVmConsole DinvVmConsole;

/* Takes `fd`, a nonblocking stream socket, in every case. The file at `path` is made anew; one that
 * is there (of a VM before, perhaps of one that died) becomes PATH.1. */
DinvVmConsole *dinv_vm_console_new(int fd, const char *path, GError **error);
/* Reads what still waits in the channel, without blocking (a bounded part of it if the guest goes
 * on writing). */
void dinv_vm_console_drain(DinvVmConsole *console);
/* The last `lines` lines, printable (dinv_log_printable). Transfer full. */
char *dinv_vm_console_get_tail(DinvVmConsole *console, guint lines);
void dinv_vm_console_free(DinvVmConsole *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvVmConsole, dinv_vm_console_free)

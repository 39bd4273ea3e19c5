/* SPDX-License-Identifier: MIT */
/* Signals that a verb reads from a descriptor instead of being interrupted by them. */
#pragma once

#include <glib.h>
#include <signal.h>

/* Of these `count` signals, those that are not ignored: what was ignored at our start (nohup) stays
 * so. */
void dinv_cli_signals_pick(const int *numbers, gsize count, sigset_t *set);

/* Blocks the signals of `set` in this thread and opens a descriptor for them (nonblocking,
 * close-on-exec, the caller's). -1 with errno set if there cannot be one; they are blocked then,
 * too. */
int dinv_cli_signals_open(const sigset_t *set);

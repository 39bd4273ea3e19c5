/* SPDX-License-Identifier: MIT */
/*
 * What QEMU is preloaded with: listen-backlog.c, built as a shared object of its own and kept in
 * this program, so that there is no file to be installed or found. Private to the room.
 */
#pragma once

/* A descriptor (close-on-exec, the caller's) of a file in memory with the shared object in it; -1
 * if there cannot be one, which costs speed only. */
int dinv_qemu_preload_open(void);

/* SPDX-License-Identifier: MIT */
/* Containers that would not notice that they are asked to stop. */
#pragma once

#include <sys/types.h>

/* Kills each process 1 of a container that neither catches nor blocks any of the signals by which
 * containers are stopped: the kernel keeps them from a process 1 without a handler. Containers
 * within containers are left to their own engine. `proc` is "/proc", `send` kill(2), but in tests.
 * How many there were. Reads a file of each process. */
unsigned dinv_engine_kill_deaf(const char *proc, int (*send)(pid_t pid, int number));

/* SPDX-License-Identifier: MIT */
/* What waitpid(2) says of a process that has ended. */
#pragma once

#include <sys/wait.h>

/* The exit status as a shell has it: 128 + N for a process that signal N killed. */
static inline int dinv_wait_status_to_exit_status(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

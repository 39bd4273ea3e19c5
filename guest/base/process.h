/* SPDX-License-Identifier: MIT */
/*
 * process: starts a program, or a function of ours, as a child with nothing inherited that it
 * should not have.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guest/base/account.h"

#define DINV_DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Limits of descriptors that programs start with; a program may raise its own up to the hard one,
 * which is also what process 1 allows itself. */
#define DINV_FILES_SOFT 1024
#define DINV_FILES_HARD 524288

typedef struct {
    char *const *argv;        /* argv[0] is searched for in the PATH of `environment` */
    char *const *environment; /* whole */
    const char *directory;    /* NULL: "/" */
    int stdin_fd;             /* -1: /dev/null, for all three; the caller keeps them */
    int stdout_fd;
    int stderr_fd;
    bool terminal;              /* stdin_fd is a terminal to become the controlling one */
    const char *cgroup;         /* directory of the cgroup to start in; NULL: ours */
    const char *oom_score;      /* for /proc/self/oom_score_adj; NULL: ours */
    const DinvAccount *account; /* to become; NULL: ours */
} DinvProcessOptions;

/* Starts it in a session of its own, all signals at their defaults and unblocked. Blocks for a
 * moment, until the program was executed. 0 with *pid, or -errno, also of chdir or exec. */
int dinv_process_start(const DinvProcessOptions *options, pid_t *pid);

enum { DINV_WORKER_FDS_MAX = 8 };

/* Runs `work` in a child, whose exit status is what it returns: for a system call that may take
 * long, as nothing may block in the loop. Of our descriptors the child has only those in `fds`
 * (under their numbers; at most DINV_WORKER_FDS_MAX), as it lives on while they are closed here: a
 * connection that we close must be closed. So `work` must not log. Its signals are at their
 * defaults and unblocked. The caller keeps `fds` and watches the child. 0 with *pid, or -errno. */
int dinv_process_fork_worker(int (*work)(void *user), void *user, const int *fds, size_t fd_count,
                             pid_t *pid);

/* "exited with status 3", "was killed by signal 9 (Killed)": for messages. */
const char *dinv_process_describe(int wait_status, char *text, size_t size);

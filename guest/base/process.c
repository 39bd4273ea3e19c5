/* SPDX-License-Identifier: MIT */
/* Children of the agent: what is done between fork() and the program, or instead of a program. */
#include "guest/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/base/files.h"

static void reset_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &action, NULL); /* EINVAL for KILL, STOP and libc's own */
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts the three standard descriptors in place. Sources below 3 are moved away first, so that no
 * dup2() overwrites one that is still needed. */
static int set_standard_fds(const DinvProcessOptions *options) {
    int sources[3] = {options->stdin_fd, options->stdout_fd, options->stderr_fd};
    for (int index = 0; index < 3; index++) {
        sources[index] = sources[index] >= 0 ? fcntl(sources[index], F_DUPFD_CLOEXEC, 3)
                                             : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (sources[index] >= 0 && sources[index] < 3) {
            sources[index] = fcntl(sources[index], F_DUPFD_CLOEXEC, 3);
        }
        if (sources[index] < 0) {
            return -errno;
        }
    }
    for (int index = 0; index < 3; index++) {
        if (dup2(sources[index], index) < 0) {
            return -errno;
        }
    }
    return 0;
}

static void set_limits(const DinvProcessOptions *options) {
    /* None of these is a reason not to run the program. */
    if (options->cgroup != NULL) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/cgroup.procs", options->cgroup);
        (void)dinv_file_write(path, "0");
    }
    if (options->oom_score != NULL) {
        (void)dinv_file_write("/proc/self/oom_score_adj", options->oom_score);
    }
    struct rlimit limit = {.rlim_cur = DINV_FILES_SOFT, .rlim_max = DINV_FILES_HARD};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    limit = (struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    (void)setrlimit(RLIMIT_NPROC, &limit);
}

static int become(const DinvAccount *account) {
    return setgroups(account->group_count, account->groups) < 0 || setgid(account->gid) < 0 ||
                   setuid(account->uid) < 0
               ? -1
               : 0;
}

/* In the child. Comes back only with what failed. */
static int execute(const DinvProcessOptions *options) {
    reset_signals();
    if (setsid() < 0) {
        return -errno;
    }
    int result = set_standard_fds(options);
    if (result < 0) {
        return result;
    }
    if (options->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) {
        return -errno;
    }
    /* Ours are close-on-exec already; this is for what process 1 itself may have been given. */
    (void)close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    set_limits(options);
    if (options->account != NULL && become(options->account) < 0) {
        return -errno;
    }
    if (chdir(options->directory != NULL ? options->directory : "/") < 0) {
        return -errno;
    }
    /* execvp() searches the PATH of `environ`, which is what the program gets. */
    environ = (char **)options->environment;
    (void)execvp(options->argv[0], options->argv);
    return -errno;
}

int dinv_process_start(const DinvProcessOptions *options, pid_t *pid) {
    int verdict[2];
    if (pipe2(verdict, O_CLOEXEC) < 0) {
        return -errno;
    }
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        close(verdict[0]);
        close(verdict[1]);
        return -error;
    }
    if (child == 0) {
        /* Out of the way of the standard descriptors, in case one of them was closed. */
        int report = fcntl(verdict[1], F_DUPFD_CLOEXEC, 3);
        int result = execute(options);
        ssize_t written = write(report, &result, sizeof result);
        _exit(written == (ssize_t)sizeof result ? 127 : 126);
    }
    close(verdict[1]);
    /* Executing closes the pipe; a failure before that is written into it. */
    int failure = 0;
    ssize_t got;
    do {
        got = read(verdict[0], &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    close(verdict[0]);
    if (got == (ssize_t)sizeof failure) {
        (void)waitpid(child, NULL, 0);
        return failure;
    }
    *pid = child;
    return 0;
}

static int compare_fds(const void *left, const void *right) {
    return *(const int *)left - *(const int *)right;
}

/* Closes every descriptor but these, which are sorted for it. */
static void close_all_but(int *fds, size_t count) {
    if (count > 0) {
        qsort(fds, count, sizeof *fds, compare_fds);
    }
    unsigned first = 0;
    for (size_t index = 0; index < count; index++) {
        unsigned kept = (unsigned)fds[index];
        if (kept > first) {
            (void)close_range(first, kept - 1, 0);
        }
        first = kept + 1;
    }
    (void)close_range(first, UINT_MAX, 0);
}

int dinv_process_fork_worker(int (*work)(void *user), void *user, const int *fds, size_t fd_count,
                             pid_t *pid) {
    int kept[DINV_WORKER_FDS_MAX];
    if (fd_count > DINV_WORKER_FDS_MAX) {
        return -EINVAL;
    }
    for (size_t index = 0; index < fd_count; index++) {
        kept[index] = fds[index];
    }
    pid_t child = fork();
    if (child < 0) {
        return -errno;
    }
    if (child == 0) {
        close_all_but(kept, fd_count);
        reset_signals();
        _exit(work(user));
    }
    *pid = child;
    return 0;
}

const char *dinv_process_describe(int wait_status, char *text, size_t size) {
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        (void)snprintf(text, size, "was killed by signal %d (%s)", number, strsignal(number));
    } else {
        (void)snprintf(text, size, "exited with status %d", WEXITSTATUS(wait_status));
    }
    return text;
}

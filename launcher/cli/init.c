/* SPDX-License-Identifier: MIT */
/*
 * PID 1 and its child. Signals are blocked before the fork and read from a signalfd, so none can be
 * lost between. A signal that the terminal made (SI_KERNEL) reached the child already, with the
 * whole foreground process group; passed on, a Ctrl-C would count twice.
 */
#include "launcher/cli/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/base/wait-status.h"

#define FAILED_STATUS 125

/* Reaps all that ended; ends this process with the child's status if it was among them. */
static void reap(pid_t child) {
    int wait_status = 0;
    pid_t pid = 0;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        if (pid == child) {
            _exit(dinv_wait_status_to_exit_status(wait_status));
        }
    }
}

static _Noreturn void supervise(pid_t child, int signal_fd) {
    for (;;) {
        struct signalfd_siginfo info;
        ssize_t got = read(signal_fd, &info, sizeof info);
        if (got != (ssize_t)sizeof info) {
            if (errno == EINTR) {
                continue;
            }
            _exit(FAILED_STATUS);
        }
        if (info.ssi_signo == SIGCHLD) {
            reap(child);
        } else if (info.ssi_code != SI_KERNEL) {
            (void)kill(child, (int)info.ssi_signo);
        }
    }
}

void dinv_cli_init_descriptors(void) {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

void dinv_cli_init_split(void) {
    if (getpid() != 1) {
        return;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    int signal_fd = signalfd(-1, &all, SFD_CLOEXEC);
    pid_t child = signal_fd >= 0 ? fork() : -1;
    if (child < 0) {
        (void)fprintf(stderr, "dinv: cannot start: %s\n", strerror(errno));
        _exit(FAILED_STATUS);
    }
    if (child > 0) {
        supervise(child, signal_fd);
    }
    (void)close(signal_fd);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

/* SPDX-License-Identifier: MIT */
/* dinv-guest: process 1 of the machine, or, under the name that dockerd calls, a port's proxy. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/agent/agent.h"
#include "guest/base/loop.h"
#include "guest/ports/proxy.h"
#include "wire/self-test.h"

/* The kernel gives process 1 the console, if the root file system has one; whatever is opened later
 * must not end up on the standard descriptors. */
static void open_standard_fds(void) {
    int fd;
    do {
        fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) {
            fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

/* A start that only has to show that machines start: see wire/self-test.h. Never returns. */
static void end_self_test(void) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        _exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        abort(); /* the end of process 1 is a panic, which the launcher tells from a power-off */
    }
    (void)reboot(RB_POWER_OFF);
    abort();
}

int main(int argc, char **argv) {
    uint64_t start_us = dinv_boottime_us();
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0 && strcmp(slash != NULL ? slash + 1 : argv[0], DINV_PORT_PROXY_NAME) == 0) {
        return dinv_ports_proxy_main(argc, argv);
    }
    if (getpid() != 1) {
        if (argc == 2 && strcmp(argv[1], "--version") == 0) {
            printf("dinv-guest %s\n", DINV_VERSION);
            return EXIT_SUCCESS;
        }
        (void)fprintf(stderr, "dinv-guest is the first process of dinv's microVM, and of no "
                              "use elsewhere\n");
        return EXIT_FAILURE;
    }
    if (getenv(DINV_WIRE_SELF_TEST_VARIABLE) != NULL) {
        end_self_test();
    }
    /* Blocked, all of them: they come through a descriptor from now on. */
    sigset_t signals;
    (void)sigfillset(&signals);
    (void)sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(022);
    open_standard_fds();
    dinv_agent_run(start_us);
}

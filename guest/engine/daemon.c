/* SPDX-License-Identifier: MIT */
/* One child, the pipe of its output, and what of the environment is a default. */
#include "guest/engine/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/process.h"

struct DinvEngineDaemon {
    DinvLoop *loop;
    DinvEngineLog *log;
    const char *name;
    const char *cgroup;
    DinvEngineDaemonEnded ended;
    void *user;
    pid_t pid; /* 0: not running */
    int output_fd;
};

/* Takes what the pipe holds. The other end may outlive the process: its children have it too. */
static void read_daemon_output(void *user, int fd, short revents) {
    DinvEngineDaemon *daemon = user;
    char bytes[16 * 1024];
    ssize_t len = read(fd, bytes, sizeof bytes);
    if (len > 0) {
        dinv_engine_log_append(daemon->log, bytes, (size_t)len);
    } else if (len == 0 || (errno != EAGAIN && errno != EINTR) || (revents & POLLERR) != 0) {
        dinv_loop_unwatch(daemon->loop, fd);
        close(fd);
        daemon->output_fd = -1;
    }
}

static void daemon_ended(void *user, pid_t pid, int wait_status) {
    DinvEngineDaemon *daemon = user;
    daemon->pid = 0;
    /* What it said last is in the pipe, and is what a failure will show. */
    for (int turn = 0; turn < 64 && daemon->output_fd >= 0; turn++) {
        struct pollfd pollfd = {.fd = daemon->output_fd, .events = POLLIN};
        if (poll(&pollfd, 1, 0) <= 0) {
            break;
        }
        read_daemon_output(daemon, daemon->output_fd, pollfd.revents);
    }
    char how[96];
    char text[128];
    (void)snprintf(text, sizeof text, "%s %s", daemon->name,
                   dinv_process_describe(wait_status, how, sizeof how));
    daemon->ended(daemon->user, pid, text);
}

DinvEngineDaemon *dinv_engine_daemon_new(DinvLoop *loop, DinvEngineLog *log, const char *name,
                                         const char *cgroup, DinvEngineDaemonEnded ended,
                                         void *user) {
    DinvEngineDaemon *daemon = calloc(1, sizeof *daemon);
    if (daemon != NULL) {
        *daemon = (DinvEngineDaemon){.loop = loop,
                                     .log = log,
                                     .name = name,
                                     .cgroup = cgroup,
                                     .ended = ended,
                                     .user = user,
                                     .output_fd = -1};
    }
    return daemon;
}

/* What an earlier one left open: a child of it may still have the other end. */
static void forget_output(DinvEngineDaemon *daemon) {
    if (daemon->output_fd >= 0) {
        dinv_loop_unwatch(daemon->loop, daemon->output_fd);
        close(daemon->output_fd);
        daemon->output_fd = -1;
    }
}

void dinv_engine_daemon_free(DinvEngineDaemon *daemon) {
    if (daemon == NULL) {
        return;
    }
    if (daemon->pid > 0) {
        dinv_loop_unwatch_child(daemon->loop, daemon->pid);
    }
    forget_output(daemon);
    free(daemon);
}

static size_t count(char *const *list) {
    size_t number = 0;
    while (list[number] != NULL) {
        number++;
    }
    return number;
}

/* A new list of both lists' strings, which it only borrows. */
static char **concatenate(char *const *first, char *const *second) {
    size_t first_count = count(first);
    size_t second_count = count(second);
    char **list = calloc(first_count + second_count + 1, sizeof *list);
    if (list != NULL) {
        memcpy(list, first, first_count * sizeof *list);
        memcpy(list + first_count, second, second_count * sizeof *list);
    }
    return list;
}

/* Defaults first, less those that `environment` sets itself. */
static char **make_daemon_environment(char *const *environment) {
    static char *const defaults[] = {DINV_DEFAULT_PATH, "HOME=/root", "LANG=C.UTF-8", NULL};
    char *kept[sizeof defaults / sizeof defaults[0]];
    size_t kept_count = 0;
    for (char *const *entry = defaults; *entry != NULL; entry++) {
        size_t name_len = strcspn(*entry, "=") + 1;
        bool overridden = false;
        for (char *const *other = environment; *other != NULL; other++) {
            overridden = overridden || strncmp(*other, *entry, name_len) == 0;
        }
        if (!overridden) {
            kept[kept_count++] = *entry;
        }
    }
    kept[kept_count] = NULL;
    return concatenate(kept, environment);
}

static int spawn_daemon(DinvEngineDaemon *daemon, char *const *argv, char *const *environment) {
    int output[2];
    if (pipe2(output, O_CLOEXEC) < 0) {
        return -errno;
    }
    DinvProcessOptions options = {
        .argv = argv,
        .environment = environment,
        .stdin_fd = -1,
        .stdout_fd = output[1],
        .stderr_fd = output[1],
        .cgroup = daemon->cgroup,
        .oom_score = "-500",
    };
    int result = dinv_process_start(&options, &daemon->pid);
    close(output[1]);
    if (result == 0) {
        /* Only our end: its own writes are to block when we are slow, not to fail. */
        (void)fcntl(output[0], F_SETFL, O_NONBLOCK);
        result = dinv_loop_watch(daemon->loop, output[0], POLLIN, read_daemon_output, daemon);
    }
    if (result < 0) {
        close(output[0]);
        return result;
    }
    daemon->output_fd = output[0];
    return dinv_loop_watch_child(daemon->loop, daemon->pid, daemon_ended, daemon);
}

int dinv_engine_daemon_start(DinvEngineDaemon *daemon, char *const *command, char *const *arguments,
                             char *const *environment) {
    if (daemon->cgroup != NULL) {
        (void)mkdir(daemon->cgroup, 0755);
    }
    forget_output(daemon);
    char **argv = concatenate(command, arguments);
    char **variables = make_daemon_environment(environment);
    int result =
        argv == NULL || variables == NULL ? -ENOMEM : spawn_daemon(daemon, argv, variables);
    free(argv);
    free(variables);
    return result;
}

bool dinv_engine_daemon_is_running(const DinvEngineDaemon *daemon) {
    return daemon->pid > 0;
}

void dinv_engine_daemon_signal(const DinvEngineDaemon *daemon, int number) {
    if (daemon->pid > 0) {
        (void)kill(daemon->pid, number);
    }
}

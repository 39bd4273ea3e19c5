/* SPDX-License-Identifier: MIT */
#include "guest/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/log.h"
#include "guest/ping.h"
#include "guest/process.h"

struct DinvEngine {
    DinvLoop *loop;
    DinvEngineLog *log;
    DinvEnginePlan plan;
    DinvEngineCallbacks callbacks;
    void *user;
    pid_t pid; /* 0: not running */
    int output_fd;
    DinvPing *ping;
    DinvTimer *deadline;
    uint32_t deadline_ms;
    bool asked_to_stop;
    bool failed;
};

static void stop_watching_start(DinvEngine *engine) {
    dinv_ping_free(engine->ping);
    engine->ping = NULL;
    dinv_timer_cancel(engine->deadline);
}

static void fail(DinvEngine *engine, const char *text) {
    if (!engine->failed && !engine->asked_to_stop) {
        engine->failed = true;
        engine->callbacks.failed(engine->user, text);
    }
}

static void deadline_passed(void *user) {
    DinvEngine *engine = user;
    stop_watching_start(engine);
    char text[160];
    (void)snprintf(text, sizeof text, "dockerd did not answer within %.1f s",
                   (double)engine->deadline_ms / 1000.0);
    fail(engine, text);
}

static void answered(void *user, const char *version) {
    DinvEngine *engine = user;
    stop_watching_start(engine);
    engine->callbacks.ready(engine->user, version);
}

/* Takes what the pipe holds. The other end may outlive dockerd: containerd has it too. */
static void read_output(void *user, int fd, short revents) {
    DinvEngine *engine = user;
    char bytes[16 * 1024];
    ssize_t len = read(fd, bytes, sizeof bytes);
    if (len > 0) {
        dinv_engine_log_append(engine->log, bytes, (size_t)len);
    } else if (len == 0 || (errno != EAGAIN && errno != EINTR) || (revents & POLLERR) != 0) {
        dinv_loop_unwatch(engine->loop, fd);
        close(fd);
        engine->output_fd = -1;
    }
}

static void process_ended(void *user, pid_t pid, int wait_status) {
    DinvEngine *engine = user;
    engine->pid = 0;
    stop_watching_start(engine);
    /* What it said last is in the pipe, and is what the failure will show. */
    for (int turn = 0; turn < 64 && engine->output_fd >= 0; turn++) {
        struct pollfd pollfd = {.fd = engine->output_fd, .events = POLLIN};
        if (poll(&pollfd, 1, 0) <= 0) {
            break;
        }
        read_output(engine, engine->output_fd, pollfd.revents);
    }
    char how[96];
    char text[128];
    (void)snprintf(text, sizeof text, "dockerd %s",
                   dinv_process_describe(wait_status, how, sizeof how));
    dinv_log_info("%s (process %d)", text, (int)pid);
    fail(engine, text);
    if (engine->pid == 0) {
        engine->callbacks.stopped(engine->user);
    }
}

DinvEngine *dinv_engine_new(DinvLoop *loop, DinvEngineLog *log, const DinvEnginePlan *plan,
                            const DinvEngineCallbacks *callbacks, void *user) {
    DinvEngine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->loop = loop;
    engine->log = log;
    engine->plan = *plan;
    engine->callbacks = *callbacks;
    engine->user = user;
    engine->output_fd = -1;
    engine->deadline = dinv_timer_new(loop, deadline_passed, engine);
    if (engine->deadline == NULL) {
        free(engine);
        return NULL;
    }
    return engine;
}

/* What an earlier dockerd left open: its containerd may still have the other end. */
static void forget_output(DinvEngine *engine) {
    if (engine->output_fd >= 0) {
        dinv_loop_unwatch(engine->loop, engine->output_fd);
        close(engine->output_fd);
        engine->output_fd = -1;
    }
}

void dinv_engine_free(DinvEngine *engine) {
    if (engine == NULL) {
        return;
    }
    dinv_ping_free(engine->ping);
    dinv_timer_free(engine->deadline);
    if (engine->pid > 0) {
        dinv_loop_unwatch_child(engine->loop, engine->pid);
    }
    forget_output(engine);
    free(engine);
}

static size_t count(char *const *list) {
    size_t number = 0;
    while (list[number] != NULL) {
        number++;
    }
    return number;
}

/* A new list of the same strings. */
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
static char **make_environment(char *const *environment) {
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

static int spawn(DinvEngine *engine, char *const *argv, char *const *environment) {
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
        .cgroup = engine->plan.cgroup,
        .oom_score = "-500",
    };
    int result = dinv_process_start(&options, &engine->pid);
    close(output[1]);
    if (result == 0) {
        /* Only our end: dockerd's own writes are to block when we are slow, not to fail. */
        (void)fcntl(output[0], F_SETFL, O_NONBLOCK);
        result = dinv_loop_watch(engine->loop, output[0], POLLIN, read_output, engine);
    }
    if (result < 0) {
        close(output[0]);
        return result;
    }
    engine->output_fd = output[0];
    return dinv_loop_watch_child(engine->loop, engine->pid, process_ended, engine);
}

int dinv_engine_start(DinvEngine *engine, char *const *arguments, char *const *environment,
                      uint32_t deadline_ms) {
    if (engine->plan.cgroup != NULL) {
        (void)mkdir(engine->plan.cgroup, 0755);
    }
    engine->failed = false;
    forget_output(engine);
    char **argv = concatenate(engine->plan.command, arguments);
    char **variables = make_environment(environment);
    int result = argv == NULL || variables == NULL ? -ENOMEM : spawn(engine, argv, variables);
    free(argv);
    free(variables);
    if (result < 0) {
        return result;
    }
    engine->ping = dinv_ping_new(engine->loop, engine->plan.socket_path, answered, engine);
    if (engine->ping == NULL) {
        return -ENOMEM;
    }
    engine->deadline_ms = deadline_ms;
    dinv_timer_set(engine->deadline, deadline_ms);
    return 0;
}

bool dinv_engine_is_running(const DinvEngine *engine) {
    return engine->pid > 0;
}

void dinv_engine_signal(DinvEngine *engine, int number) {
    if (engine->pid > 0) {
        engine->asked_to_stop = true;
        stop_watching_start(engine);
        (void)kill(engine->pid, number);
    }
}

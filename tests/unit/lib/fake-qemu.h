/* SPDX-License-Identifier: MIT */
/*
 * A QEMU that the test program plays itself when it is started with QEMU's arguments: what it does
 * after the QMP handshake is what the variable FAKE_QEMU says. Included once per test program.
 */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void send_line(int fd, const char *text) {
    (void)!write(fd, text, strlen(text));
    (void)!write(fd, "\r\n", 2);
}

/* The next line of `fd`; exits at its end, as QEMU would not. */
static void read_line(int fd, char *line, size_t cap) {
    size_t len = 0;
    for (;;) {
        char c;
        if (read(fd, &c, 1) != 1) {
            _exit(9);
        }
        if (c == '\n') {
            line[len] = '\0';
            return;
        }
        if (len + 1 < cap) {
            line[len++] = c;
        }
    }
}

/* Replies to the command in `line` with {}, or with `result` as a JSON value. */
static void reply(int fd, const char *line, const char *result) {
    const char *id = strstr(line, "\"id\":");
    char text[512];
    (void)snprintf(text, sizeof(text), "{\"return\": %s, \"id\": %d}", result,
                   id == NULL ? 0 : atoi(id + 5));
    send_line(fd, text);
}

static void shutdown_event(int fd, const char *reason) {
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"%s\"}}",
                   reason);
    send_line(fd, text);
}

/* How the process was set up, as one line on the console. */
static void report(int console) {
    struct rlimit core = {0};
    (void)getrlimit(RLIMIT_CORE, &core);
    struct rlimit files = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    int death_signal = 0;
    (void)prctl(PR_GET_PDEATHSIG, &death_signal);
    sigset_t mask;
    (void)sigprocmask(SIG_SETMASK, NULL, &mask);
    int open_fds = 0;
    for (int fd = 0; fd < 1024; fd++) {
        open_fds += fcntl(fd, F_GETFD) >= 0;
    }
    int blocked = 0;
    int ignored = 0;
    for (int number = 1; number < 32; number++) {
        blocked += sigismember(&mask, number) == 1;
        struct sigaction action = {0};
        ignored += sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    }
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "leader=%d core=%llu all-files=%d death=%d fds=%d blocked=%d ignored=%d",
                   getpgid(0) == getpid(), (unsigned long long)core.rlim_max,
                   files.rlim_cur == files.rlim_max, death_signal, open_fds, blocked, ignored);
    send_line(console, text);
}

/* Serves commands until quit; `status` is what query-status says. The first `stops` times that the
 * vCPUs are let go they stop again. What query-kvm says is in the variable FAKE_KVM. */
static void serve(int qmp, const char *status, int stops) {
    const char *kvm = g_getenv("FAKE_KVM");
    kvm = kvm != NULL ? kvm : "{}";
    char line[4096];
    for (;;) {
        read_line(qmp, line, sizeof(line));
        if (strstr(line, "\"quit\"") != NULL) {
            reply(qmp, line, "{}");
            shutdown_event(qmp, "host-qmp-quit");
            _exit(0);
        } else if (strstr(line, "query-status") != NULL) {
            reply(qmp, line, status);
        } else if (strstr(line, "query-kvm") != NULL) {
            reply(qmp, line, kvm);
        } else if (strstr(line, "\"cont\"") != NULL) {
            reply(qmp, line, "{}");
            send_line(qmp, "{\"event\": \"RESUME\"}");
            if (stops-- > 0) {
                send_line(qmp, "{\"event\": \"STOP\"}");
            }
        } else {
            reply(qmp, line, "{}");
        }
    }
}

static int fd_of(char **argv, const char *name) {
    g_autofree char *prefix = g_strdup_printf("socket,id=%s,fd=", name);
    for (; *argv != NULL; argv++) {
        if (g_str_has_prefix(*argv, prefix)) {
            return atoi(*argv + strlen(prefix));
        }
    }
    _exit(8);
}

static void play_qemu(char **argv) {
    const char *role = g_getenv("FAKE_QEMU");
    int qmp = fd_of(argv, "qmp");
    if (strcmp(role, "bad-option") == 0) {
        (void)fputs("qemu: -device nonsense: not a valid device\n\033[31mred\n", stderr);
        _exit(1);
    }
    if (strcmp(role, "chatty") == 0) {
        for (int i = 0; i < 2000; i++) {
            (void)fprintf(stderr, "warning: line number %d\n", i);
        }
        _exit(1);
    }
    report(fd_of(argv, "console"));
    send_line(fd_of(argv, "control"), "control");
    send_line(fd_of(argv, "relay"), "relay");
    (void)signal(SIGPIPE, SIG_IGN); /* as QEMU does */
    send_line(qmp, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}");
    char line[4096];
    read_line(qmp, line, sizeof(line));
    reply(qmp, line, "{}");
    if (strcmp(role, "poweroff") == 0) {
        shutdown_event(qmp, "guest-shutdown");
        _exit(0);
    } else if (strcmp(role, "reset") == 0) {
        shutdown_event(qmp, "guest-reset");
        _exit(0);
    } else if (strcmp(role, "host-signal") == 0) {
        shutdown_event(qmp, "host-signal");
        _exit(0);
    } else if (strcmp(role, "fails-after-poweroff") == 0) {
        shutdown_event(qmp, "guest-shutdown");
        _exit(1);
    } else if (strcmp(role, "silent-exit") == 0) {
        _exit(0);
    } else if (strcmp(role, "killed") == 0) {
        (void)fputs("about to die", stderr);
        (void)kill(getpid(), SIGABRT);
    } else if (strcmp(role, "garbage") == 0) {
        send_line(qmp, "\033[H this is no JSON");
        (void)pause();
    } else if (strcmp(role, "closes-qmp") == 0) {
        (void)close(qmp);
        (void)pause();
    } else if (strcmp(role, "ignores-quit") == 0) {
        (void)pause();
    } else if (strcmp(role, "full-disk") == 0) {
        serve(qmp, "{\"status\": \"io-error\"}", 2);
    } else if (strcmp(role, "internal-error") == 0) {
        serve(qmp, "{\"status\": \"internal-error\"}", 1);
    }
    serve(qmp, "{\"status\": \"running\"}", 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * The port proxy as its surroundings see it: the test is dockerd, which starts it, and the agent;
 * the test program is also what runs in docker-proxy's place (it is told by its argv[0]). Included
 * once per test program.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/ports/proxy.h"

enum { VERDICT_FD = 3, LISTEN_FD = 4, DEADLINE_MS = 60000 };

/* --- in docker-proxy's place ------------------------------------------------------------------ */

static int listening_port(int fd) {
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? ntohs(name.sin_port) : 0;
}

/* Writes "PID ARGUMENTS" to the file DOCKER_PROXY_LOG; DOCKER_PROXY_DOES says what then. */
static int fake_docker_proxy(int argc, char **argv) {
    const char *does = g_getenv("DOCKER_PROXY_DOES");
    const char *log_path = g_getenv("DOCKER_PROXY_LOG");
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append_printf(line, "%d", (int)getpid());
    for (int i = 1; i < argc; i++) {
        g_string_append_printf(line, " %s", argv[i]);
        if (strcmp(argv[i], "-use-listen-fd") == 0) {
            g_string_append_printf(line, " %d", listening_port(LISTEN_FD));
        }
    }
    g_string_append_c(line, '\n');
    if (does == NULL || log_path == NULL) {
        return 70;
    }
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line->str, line->len) != (ssize_t)line->len) {
        return 70;
    }
    if (strcmp(does, "refuse") == 0) {
        return write(VERDICT_FD, "1\nfailed to listen", 18) == 18 ? 1 : 70;
    }
    if (strcmp(does, "die") == 0) {
        return 1;
    }
    if (strcmp(does, "hang") != 0 && write(VERDICT_FD, "0\n", 2) != 2) {
        return 70;
    }
    close(VERDICT_FD);
    for (;;) {
        (void)pause();
    }
}

/* --- in dockerd's place ----------------------------------------------------------------------- */

typedef struct {
    char *directory;
    char *socket_path;
    char *log_path;
    const char *interface;
    int listener;  /* the agent's; -1: there is none */
    int listen_fd; /* what descriptor 4 is to be; -1: nothing */
    bool deaf;     /* dockerd waits no more for the verdict */
    pid_t pid;     /* of the port proxy */
    int verdict_fd;
} Fixture;

static int agent_listen(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 4), ==, 0);
    return fd;
}

static void fixture_init(Fixture *fixture, const char *does) {
    *fixture = (Fixture){.interface = "lo", .listen_fd = -1};
    fixture->directory = g_dir_make_tmp("dinv-proxy-XXXXXX", NULL);
    fixture->socket_path = g_build_filename(fixture->directory, "socket", NULL);
    fixture->log_path = g_build_filename(fixture->directory, "log", NULL);
    fixture->listener = agent_listen(fixture->socket_path);
    g_assert_true(g_setenv("DOCKER_PROXY_LOG", fixture->log_path, TRUE));
    g_assert_true(g_setenv("DOCKER_PROXY_DOES", does, TRUE));
}

static void fixture_clear(Fixture *fixture) {
    (void)g_unlink(fixture->socket_path);
    (void)g_unlink(fixture->log_path);
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    close(fixture->listener);
    g_free(fixture->directory);
    g_free(fixture->socket_path);
    g_free(fixture->log_path);
}

_Noreturn static void become_proxy(const Fixture *fixture, const char *arguments, int verdict) {
    DinvPortsProxyPlan plan = {.local_proxy = "/proc/self/exe",
                               .agent_socket = fixture->socket_path,
                               .interface = fixture->interface};
    g_autofree char *line = g_strconcat("dinv-port-proxy ", arguments, NULL);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    int listen_fd = fixture->listen_fd >= 0 ? fcntl(fixture->listen_fd, F_DUPFD, 16) : -1;
    verdict = fcntl(verdict, F_DUPFD, 16);
    (void)dup2(verdict, VERDICT_FD);
    if (listen_fd >= 0) {
        (void)dup2(listen_fd, LISTEN_FD);
    } else {
        (void)close(LISTEN_FD);
    }
    (void)close_range(LISTEN_FD + 1, ~0u, 0);
    _exit(dinv_ports_proxy_run((int)g_strv_length(argv), argv, &plan));
}

/* Starts the port proxy as dockerd does. */
static void start(Fixture *fixture, const char *arguments) {
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    fixture->pid = fork();
    if (fixture->pid == 0) {
        if (fixture->deaf) {
            close(ends[0]);
        }
        become_proxy(fixture, arguments, ends[1]);
    }
    close(ends[1]);
    fixture->verdict_fd = ends[0];
    if (fixture->deaf) {
        close(ends[0]);
    }
}

static void wait_readable(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    g_assert_cmpint(poll(&pollfd, 1, DEADLINE_MS), ==, 1);
}

static bool is_readable(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    return poll(&pollfd, 1, 0) == 1;
}

static void expect_text(int fd, const char *expected) {
    g_autoptr(GString) text = g_string_new(NULL);
    char bytes[1024];
    ssize_t len;
    do {
        wait_readable(fd);
        len = read(fd, bytes, sizeof bytes);
        g_string_append_len(text, bytes, MAX(len, 0));
    } while (len > 0);
    g_assert_cmpstr(text->str, ==, expected);
    close(fd);
}

static void expect_exit(const Fixture *fixture, int status) {
    int wait_status = 0;
    g_assert_cmpint(waitpid(fixture->pid, &wait_status, 0), ==, fixture->pid);
    g_assert_true(WIFEXITED(wait_status));
    g_assert_cmpint(WEXITSTATUS(wait_status), ==, status);
}

/* The port proxy's connection to the agent, after its line, which must be this one. */
static int expect_asked(const Fixture *fixture, const char *line) {
    char bytes[1024] = "";
    wait_readable(fixture->listener);
    int fd = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    wait_readable(fd);
    g_assert_cmpint(read(fd, bytes, sizeof bytes - 1), >, 0);
    g_assert_cmpstr(bytes, ==, line);
    return fd;
}

static void agent_says(int fd, const char *text) {
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

static void expect_hang_up(int fd) {
    char byte;
    wait_readable(fd);
    g_assert_cmpint(read(fd, &byte, 1), ==, 0);
}

/* How docker-proxy was started, a line for each; that none of them is left any more. */
static void expect_locals(const Fixture *fixture, const char *expected) {
    g_autofree char *log = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    (void)g_file_get_contents(fixture->log_path, &log, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(log != NULL ? log : "", "\n", -1);
    for (guint i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++) {
        char *rest = NULL;
        gint64 pid = g_ascii_strtoll(lines[i], &rest, 10);
        g_string_append_printf(text, "%s\n", rest + 1);
        g_assert_cmpint(kill((pid_t)pid, 0), ==, -1);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

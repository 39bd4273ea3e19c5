/* SPDX-License-Identifier: MIT */
/*
 * The port proxy as dockerd sees it: how it is called, its verdict, its end. This program is also
 * what runs in docker-proxy's place (it is told by its argv[0]); the test itself is the agent.
 */
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

/* --- the tests -------------------------------------------------------------------------------- */

#define ANY                                                                                        \
    "-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80"
#define ASKED_FOR(address)                                                                         \
    "{\"protocol\":\"tcp\",\"address\":\"" address "\",\"port\":8080,"                             \
    "\"container\":\"172.17.0.2:80\"}\n"

static void test_serves_until_a_signal(gconstpointer data) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, ANY);
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    g_assert_false(is_readable(fixture.verdict_fd)); /* not before the agent says so */
    agent_says(agent, "ok\n");
    expect_text(fixture.verdict_fd, "0\n");
    g_assert_cmpint(kill(fixture.pid, GPOINTER_TO_INT(data)), ==, 0);
    expect_hang_up(agent);
    /* It ends when the port is gone, and not before: dockerd's user is told then. */
    g_assert_cmpint(waitpid(fixture.pid, NULL, WNOHANG), ==, 0);
    close(agent);
    expect_exit(&fixture, EXIT_SUCCESS);
    expect_locals(&fixture, ANY "\n");
    fixture_clear(&fixture);
}

/* The launcher's sentence is what dockerd shows. */
static void test_refused_by_the_agent(void) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, ANY);
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    agent_says(agent, "error listen tcp 0.0.0.0:8080: bind: address already in use\n");
    expect_text(fixture.verdict_fd, "1\nlisten tcp 0.0.0.0:8080: bind: address already in use\n");
    expect_hang_up(agent);
    close(agent);
    expect_exit(&fixture, EXIT_FAILURE);
    expect_locals(&fixture, ANY "\n");
    fixture_clear(&fixture);
}

static void test_refused_by_docker_proxy(void) {
    Fixture fixture;
    fixture_init(&fixture, "refuse");
    start(&fixture, ANY);
    expect_text(fixture.verdict_fd, "1\nfailed to listen\n");
    expect_exit(&fixture, EXIT_FAILURE);
    g_assert_false(is_readable(fixture.listener));
    expect_locals(&fixture, ANY "\n");
    fixture_clear(&fixture);
    fixture_init(&fixture, "die");
    start(&fixture, ANY);
    expect_text(fixture.verdict_fd, "1\ndocker-proxy did not start\n");
    expect_exit(&fixture, EXIT_FAILURE);
    fixture_clear(&fixture);
}

static void test_no_agent(void) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    g_assert_cmpint(g_unlink(fixture.socket_path), ==, 0);
    start(&fixture, ANY);
    expect_text(fixture.verdict_fd, "1\ndinv's agent does not answer, the port is not published\n");
    expect_exit(&fixture, EXIT_FAILURE);
    expect_locals(&fixture, ANY "\n");
    fixture_clear(&fixture);
    /* One that closes without a word. */
    fixture_init(&fixture, "serve");
    start(&fixture, ANY);
    close(expect_asked(&fixture, ASKED_FOR("0.0.0.0")));
    expect_text(fixture.verdict_fd, "1\ndinv's agent does not answer, the port is not published\n");
    expect_exit(&fixture, EXIT_FAILURE);
    fixture_clear(&fixture);
}

/* Of IPv6 only what is inside can be served: yes, or the container would not start. */
static void test_ipv6(void) {
    static const char arguments[] =
        "-proto tcp -host-ip :: -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, arguments);
    expect_text(fixture.verdict_fd, "0\n");
    g_assert_false(is_readable(fixture.listener));
    g_assert_cmpint(kill(fixture.pid, SIGTERM), ==, 0);
    expect_exit(&fixture, EXIT_SUCCESS);
    g_autofree char *expected = g_strconcat(arguments, "\n", NULL);
    expect_locals(&fixture, expected);
    fixture_clear(&fixture);
}

/* What is forwarded goes to the interface's address (here 127.0.0.1), whatever the address outside
 * is: one that the guest has as well is served on both, another one only there. */
static void test_host_addresses(void) {
    static const struct {
        const char *address, *interface, *locals;
    } cases[] = {
        {"127.0.0.1", "lo", "127.0.0.1"},
        {"127.0.0.7", "lo", "127.0.0.7 127.0.0.1"},
        {"198.51.100.7", "lo", "127.0.0.1"},
        {"127.0.0.1", "none", "127.0.0.1"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fixture fixture;
        fixture_init(&fixture, "serve");
        fixture.interface = cases[i].interface;
        g_autofree char *arguments = g_strdup_printf("-proto udp -host-ip %s -host-port 53 "
                                                     "-container-ip 172.17.0.2 -container-port 53",
                                                     cases[i].address);
        g_autofree char *line =
            g_strdup_printf("{\"protocol\":\"udp\",\"address\":\"%s\",\"port\":53,"
                            "\"container\":\"172.17.0.2:53\"}\n",
                            cases[i].address);
        start(&fixture, arguments);
        int agent = expect_asked(&fixture, line);
        agent_says(agent, "ok\n");
        expect_text(fixture.verdict_fd, "0\n");
        close(agent);
        g_assert_cmpint(kill(fixture.pid, SIGTERM), ==, 0);
        expect_exit(&fixture, EXIT_SUCCESS);
        g_autoptr(GString) expected = g_string_new(NULL);
        g_auto(GStrv) locals = g_strsplit(cases[i].locals, " ", -1);
        for (guint j = 0; locals[j] != NULL; j++) {
            g_string_append_printf(expected,
                                   "-proto udp -host-ip %s -host-port 53 -container-ip 172.17.0.2 "
                                   "-container-port 53\n",
                                   locals[j]);
        }
        expect_locals(&fixture, expected->str);
        fixture_clear(&fixture);
    }
}

/* Docker 28 and later bind the port themselves; docker-proxy gets the socket on descriptor 4. */
static void test_listening_descriptor(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    Fixture fixture;
    fixture_init(&fixture, "serve");
    fixture.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fixture.listen_fd, (struct sockaddr *)&name, sizeof name), ==, 0);
    start(&fixture, ANY " -use-listen-fd");
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    agent_says(agent, "ok\n");
    expect_text(fixture.verdict_fd, "0\n");
    close(agent);
    g_assert_cmpint(kill(fixture.pid, SIGINT), ==, 0);
    expect_exit(&fixture, EXIT_SUCCESS);
    g_autofree char *expected =
        g_strdup_printf(ANY " -use-listen-fd %d\n", listening_port(fixture.listen_fd));
    expect_locals(&fixture, expected);
    close(fixture.listen_fd);
    fixture_clear(&fixture);
}

/* dockerd has given up waiting, so its user was told that there is no such port. */
static void test_nobody_hears_the_verdict(void) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    fixture.deaf = true;
    start(&fixture, ANY);
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    agent_says(agent, "ok\n");
    expect_hang_up(agent);
    close(agent);
    expect_exit(&fixture, EXIT_FAILURE);
    expect_locals(&fixture, ANY "\n");
    fixture_clear(&fixture);
}

/* A signal before the verdict: nobody is waited for any more. */
static void test_signal_before_the_verdict(void) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, ANY);
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    g_assert_cmpint(kill(fixture.pid, SIGTERM), ==, 0);
    expect_exit(&fixture, EXIT_FAILURE); /* although the agent still has its end open */
    expect_hang_up(agent);
    close(agent);
    expect_locals(&fixture, ANY "\n");
    close(fixture.verdict_fd);
    fixture_clear(&fixture);
}

static void test_docker_proxy_ends(void) {
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, ANY);
    int agent = expect_asked(&fixture, ASKED_FOR("0.0.0.0"));
    agent_says(agent, "ok\n");
    expect_text(fixture.verdict_fd, "0\n");
    g_autofree char *log = NULL;
    g_assert_true(g_file_get_contents(fixture.log_path, &log, NULL, NULL));
    g_assert_cmpint(kill((pid_t)g_ascii_strtoll(log, NULL, 10), SIGKILL), ==, 0);
    expect_hang_up(agent);
    close(agent);
    expect_exit(&fixture, EXIT_FAILURE);
    fixture_clear(&fixture);
}

static void test_arguments(void) {
    static const struct {
        const char *line;
        const char *problem; /* NULL: they are good */
    } cases[] = {
        {ANY, NULL},
        {"--proto=udp --host-ip=fd00::1 --host-port=1 --container-ip=fd00::2 "
         "--container-port=65535",
         NULL},
        {ANY " -of-a-later-docker 1", NULL},
        {ANY " -use-listen-fd=false", NULL},
        {"", "are expected"},
        {"-host-ip 0.0.0.0 -host-port 80 -container-ip 172.17.0.2", "are expected"},
        {ANY " -host-port", "no value"},
        {ANY " -host-port 0", "no value"},
        {ANY " -host-port 65536", "no value"},
        {ANY " -host-port 80x", "no value"},
        {ANY " -host-port -80", "no value"},
        {ANY " -host-ip example.org", "are expected"},
        {ANY " -container-ip 1.2.3", "are expected"},
        {ANY " word", "not an option"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvPortsProxyArguments arguments;
        const char *problem = "";
        g_autofree char *line = g_strconcat("dinv-port-proxy ", cases[i].line, NULL);
        g_auto(GStrv) argv = g_strsplit(g_strchomp(line), " ", -1);
        bool good = dinv_ports_proxy_parse((int)g_strv_length(argv), argv, &arguments, &problem);
        g_assert_cmpint(good, ==, cases[i].problem == NULL);
        g_assert_nonnull(strstr(problem, good ? "" : cases[i].problem));
    }
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, "-host-port 0");
    expect_text(fixture.verdict_fd,
                "1\ndinv-port-proxy: an option has no value that makes sense\n");
    expect_exit(&fixture, EXIT_FAILURE);
    fixture_clear(&fixture);
}

int main(int argc, char **argv) {
    if (strcmp(argv[0], "docker-proxy") == 0) {
        return fake_docker_proxy(argc, argv);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/port-proxy/arguments", test_arguments);
    g_test_add_data_func("/guest/port-proxy/serves-until-sigterm", GINT_TO_POINTER(SIGTERM),
                         test_serves_until_a_signal);
    g_test_add_data_func("/guest/port-proxy/serves-until-sigint", GINT_TO_POINTER(SIGINT),
                         test_serves_until_a_signal);
    g_test_add_func("/guest/port-proxy/refused-by-the-agent", test_refused_by_the_agent);
    g_test_add_func("/guest/port-proxy/refused-by-docker-proxy", test_refused_by_docker_proxy);
    g_test_add_func("/guest/port-proxy/no-agent", test_no_agent);
    g_test_add_func("/guest/port-proxy/ipv6", test_ipv6);
    g_test_add_func("/guest/port-proxy/host-addresses", test_host_addresses);
    g_test_add_func("/guest/port-proxy/listening-descriptor", test_listening_descriptor);
    g_test_add_func("/guest/port-proxy/nobody-hears-the-verdict", test_nobody_hears_the_verdict);
    g_test_add_func("/guest/port-proxy/signal-before-the-verdict", test_signal_before_the_verdict);
    g_test_add_func("/guest/port-proxy/docker-proxy-ends", test_docker_proxy_ends);
    return g_test_run();
}

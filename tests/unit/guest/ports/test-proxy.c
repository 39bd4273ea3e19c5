/* SPDX-License-Identifier: MIT */
/*
 * The port proxy as dockerd sees it: how it is called, its verdict, its end. This program is also
 * what runs in docker-proxy's place (it is told by its argv[0]); the test itself is the agent.
 */
#include "tests/unit/lib/port-proxy-fixture.h"

/* --- the tests -------------------------------------------------------------------------------- */

#define ANY                                                                                        \
    "-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80"
#define ASKED_FOR(address)                                                                         \
    "{\"protocol\":\"tcp\",\"address\":\"" address "\",\"port\":8080,\"guest_port\":8080,"         \
    "\"is_guests\":true,\"is_shared\":false,\"container\":\"172.17.0.2:80\"}\n"

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

/* A port of 127.0.0.1 that nobody has, or, with `fd`, one that is the caller's. */
static unsigned choose_port(int *fd) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(socket_fd, (struct sockaddr *)&name, sizeof name), ==, 0);
    g_assert_cmpint(listen(socket_fd, 1), ==, 0);
    unsigned port = (unsigned)listening_port(socket_fd);
    if (fd != NULL) {
        *fd = socket_fd;
    } else {
        close(socket_fd);
    }
    return port;
}

static char *arguments_for(const char *address, unsigned port) {
    return g_strdup_printf("-proto tcp -host-ip %s -host-port %u -container-ip 172.17.0.2 "
                           "-container-port 80",
                           address, port);
}

static char *wish_for(const char *address, unsigned port, unsigned guest_port, const char *shared) {
    return g_strdup_printf("{\"protocol\":\"tcp\",\"address\":\"%s\",\"port\":%u,"
                           "\"guest_port\":%u,\"is_guests\":true,\"is_shared\":%s,"
                           "\"container\":\"172.17.0.2:80\"}\n",
                           address, port, guest_port, shared);
}

/* What comes by IPv6 goes to the guest's IPv4 address like all else: a docker-proxy serves it
 * there, or is the one that the same container has there for its IPv4 port. */
static void test_ipv6(gconstpointer data) {
    bool is_busy = GPOINTER_TO_INT(data) != 0;
    int taken = -1;
    unsigned port = choose_port(is_busy ? &taken : NULL);
    g_autofree char *arguments = arguments_for("::1", port);
    g_autofree char *at_guest = arguments_for("127.0.0.1", port);
    g_autofree char *wish = wish_for("::1", port, port, is_busy ? "true" : "false");
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, arguments);
    int agent = expect_asked(&fixture, wish);
    agent_says(agent, "ok\n");
    expect_text(fixture.verdict_fd, "0\n");
    g_assert_cmpint(kill(fixture.pid, SIGTERM), ==, 0);
    expect_hang_up(agent);
    close(agent);
    expect_exit(&fixture, EXIT_SUCCESS);
    g_autofree char *expected = is_busy ? g_strdup_printf("%s\n", arguments)
                                        : g_strdup_printf("%s\n%s\n", arguments, at_guest);
    expect_locals(&fixture, expected);
    fixture_clear(&fixture);
    if (taken >= 0) {
        close(taken);
    }
}

/* Another container has the port at the guest's address: a docker-proxy of a port of its own. */
static void test_port_of_its_own(void) {
    int taken = -1;
    unsigned port = choose_port(&taken);
    g_autofree char *arguments = arguments_for("127.0.0.7", port);
    g_autofree char *shared = wish_for("127.0.0.7", port, port, "true");
    char line[1024] = "";
    Fixture fixture;
    fixture_init(&fixture, "serve");
    start(&fixture, arguments);
    int agent = expect_asked(&fixture, shared);
    agent_says(agent, "error it is another container's\n");
    expect_hang_up(agent);
    close(agent);
    wait_readable(fixture.listener);
    agent = accept4(fixture.listener, NULL, NULL, SOCK_CLOEXEC);
    wait_readable(agent);
    g_assert_cmpint(read(agent, line, sizeof line - 1), >, 0);
    unsigned own = (unsigned)atoi(strstr(line, "\"guest_port\":") + strlen("\"guest_port\":"));
    g_autofree char *wish = wish_for("127.0.0.7", port, own, "false");
    g_assert_cmpstr(line, ==, wish);
    g_assert_cmpuint(own, !=, port);
    agent_says(agent, "ok\n");
    expect_text(fixture.verdict_fd, "0\n");
    g_assert_cmpint(kill(fixture.pid, SIGTERM), ==, 0);
    expect_hang_up(agent);
    close(agent);
    expect_exit(&fixture, EXIT_SUCCESS);
    g_autofree char *at_guest = arguments_for("127.0.0.1", own);
    g_autofree char *expected = g_strdup_printf("%s\n%s\n", arguments, at_guest);
    expect_locals(&fixture, expected);
    fixture_clear(&fixture);
    close(taken);
}

/* What is forwarded goes to the interface's address (here 127.0.0.1), whatever the address outside
 * is: one that the guest has as well is served on both, another one only there. */
static void test_host_addresses(void) {
    static const struct {
        const char *address, *interface, *locals, *is_guests;
    } cases[] = {
        {"127.0.0.1", "lo", "127.0.0.1", "true"},
        {"127.0.0.7", "lo", "127.0.0.7 127.0.0.1", "true"},
        {"198.51.100.7", "lo", "127.0.0.1", "false"},
        {"2001:db8::7", "lo", "127.0.0.1", "false"},
        {"127.0.0.1", "none", "127.0.0.1", "true"},
    };
    unsigned port = choose_port(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fixture fixture;
        fixture_init(&fixture, "serve");
        fixture.interface = cases[i].interface;
        g_autofree char *arguments = g_strdup_printf("-proto udp -host-ip %s -host-port %u "
                                                     "-container-ip 172.17.0.2 -container-port 53",
                                                     cases[i].address, port);
        g_autofree char *line = g_strdup_printf(
            "{\"protocol\":\"udp\",\"address\":\"%s\",\"port\":%u,\"guest_port\":%u,"
            "\"is_guests\":%s,\"is_shared\":false,\"container\":\"172.17.0.2:53\"}\n",
            cases[i].address, port, port, cases[i].is_guests);
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
                                   "-proto udp -host-ip %s -host-port %u -container-ip 172.17.0.2 "
                                   "-container-port 53\n",
                                   locals[j], port);
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
    g_test_add_data_func("/guest/port-proxy/ipv6/alone", GINT_TO_POINTER(0), test_ipv6);
    g_test_add_data_func("/guest/port-proxy/ipv6/shared", GINT_TO_POINTER(1), test_ipv6);
    g_test_add_func("/guest/port-proxy/port-of-its-own", test_port_of_its_own);
    g_test_add_func("/guest/port-proxy/host-addresses", test_host_addresses);
    g_test_add_func("/guest/port-proxy/listening-descriptor", test_listening_descriptor);
    g_test_add_func("/guest/port-proxy/nobody-hears-the-verdict", test_nobody_hears_the_verdict);
    g_test_add_func("/guest/port-proxy/signal-before-the-verdict", test_signal_before_the_verdict);
    g_test_add_func("/guest/port-proxy/docker-proxy-ends", test_docker_proxy_ends);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The agent's side of published ports: what port proxies say to it, and what the launcher hears. */
#include "tests/unit/lib/guest-harness.h"

#include <glib/gstdio.h>
#include <sys/un.h>

#include "guest/base/unix-socket.h"
#include "guest/ports/publish.h"
#include "guest/ports/request.h"

typedef struct {
    Harness harness;
    char *directory;
    char *path;
    DinvPortsPublish *publish;
    GString *heard;     /* of the launcher: "verb port\n" for each request */
    GPtrArray *answers; /* Pending *, in the order of the requests */
    int result;         /* of the next request */
} Fixture;

typedef struct {
    DinvChannelControlAnswer answer;
    void *user;
} Pending;

static int request(void *user, const char *verb, struct json_object *fields,
                   DinvChannelControlAnswer answer, void *answer_user) {
    Fixture *fixture = user;
    struct json_object *port = NULL;
    g_assert_true(json_object_object_get_ex(fields, "port", &port));
    g_string_append_printf(fixture->heard, "%s %d\n", verb, json_object_get_int(port));
    json_object_put(fields);
    if (fixture->result == 0) {
        Pending *pending = g_new(Pending, 1);
        *pending = (Pending){answer, answer_user};
        g_ptr_array_add(fixture->answers, pending);
    }
    return fixture->result;
}

static void fixture_init(Fixture *fixture) {
    *fixture =
        (Fixture){.heard = g_string_new(NULL), .answers = g_ptr_array_new_with_free_func(g_free)};
    harness_init(&fixture->harness);
    fixture->directory = g_dir_make_tmp("dinv-publish-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->directory, "socket", NULL);
    fixture->publish =
        dinv_ports_publish_new(fixture->harness.loop, fixture->path, request, fixture);
    g_assert_nonnull(fixture->publish);
}

static void fixture_clear(Fixture *fixture) {
    dinv_ports_publish_free(fixture->publish);
    harness_clear(&fixture->harness);
    g_assert_cmpint(g_unlink(fixture->path), ==, 0);
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    g_free(fixture->path);
    g_free(fixture->directory);
    g_string_free(fixture->heard, TRUE);
    g_ptr_array_unref(fixture->answers);
}

/* The launcher's answer to the oldest request. */
static void answer(Fixture *fixture, const char *error) {
    g_assert_cmpuint(fixture->answers->len, >, 0);
    Pending pending = *(Pending *)g_ptr_array_index(fixture->answers, 0);
    g_ptr_array_remove_index(fixture->answers, 0);
    pending.answer(pending.user, error);
}

/* A port proxy that has connected and said `text`. */
static int proxy_says(const Fixture *fixture, const char *text) {
    int fd = dinv_unix_socket_connect(fixture->path);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(send(fd, text, strlen(text), 0), ==, (ssize_t)strlen(text));
    return fd;
}

static int proxy_asks(const Fixture *fixture, unsigned port) {
    char line[DINV_PUBLISH_LINE_SIZE];
    const DinvPortsWish wish = {.protocol = "tcp",
                                .address = "0.0.0.0",
                                .port = port,
                                .guest_port = port,
                                .container = "172.17.0.2:80"};
    g_assert_cmpint(dinv_ports_request_format(line, &wish), >, 0);
    return proxy_says(fixture, line);
}

typedef struct {
    const Fixture *fixture;
    const char *text;
} Heard;

static bool has_heard(void *user) {
    const Heard *heard = user;
    return strcmp(heard->fixture->heard->str, heard->text) == 0;
}

static void wait_heard(Fixture *fixture, const char *text) {
    Heard heard = {fixture, text};
    harness_run_until(&fixture->harness, has_heard, &heard);
}

/* What the proxy is told until the agent closes the connection, which it has to. */
static void expect_told(Fixture *fixture, int fd, const char *text) {
    g_autoptr(GString) told = g_string_new(NULL);
    gint64 deadline = g_get_monotonic_time() + (gint64)HARNESS_DEADLINE_S * G_USEC_PER_SEC;
    char bytes[1024];
    for (ssize_t len = 1; len != 0;) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_assert_cmpint(dinv_loop_iterate(fixture->harness.loop, 0), ==, 0);
        len = poll(&pollfd, 1, 1) == 1 ? read(fd, bytes, sizeof bytes) : -1;
        g_string_append_len(told, bytes, MAX(len, 0));
    }
    g_assert_cmpstr(told->str, ==, text);
    close(fd);
}

static void test_published_until_released(void) {
    Fixture fixture;
    fixture_init(&fixture);
    GStatBuf status;
    g_assert_cmpint(g_stat(fixture.path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    int fd = proxy_asks(&fixture, 8080);
    wait_heard(&fixture, "publish 8080\n");
    answer(&fixture, NULL);
    (void)shutdown(fd, SHUT_WR);
    wait_heard(&fixture, "publish 8080\nunpublish 8080\n");
    /* Not closed before the launcher has said that the port is gone. */
    char bytes[4] = "";
    g_assert_cmpint(read(fd, bytes, sizeof bytes - 1), ==, 3);
    g_assert_cmpstr(bytes, ==, "ok\n");
    g_assert_cmpint(read(fd, bytes, 1), ==, -1);
    answer(&fixture, NULL);
    expect_told(&fixture, fd, "");
    fixture_clear(&fixture);
}

static void test_refused(void) {
    Fixture fixture;
    fixture_init(&fixture);
    int fd = proxy_asks(&fixture, 8080);
    wait_heard(&fixture, "publish 8080\n");
    answer(&fixture, "listen tcp 0.0.0.0:8080: bind: address already in use");
    expect_told(&fixture, fd, "error listen tcp 0.0.0.0:8080: bind: address already in use\n");
    g_autofree char *long_text = g_strnfill(2000, 'x');
    fd = proxy_asks(&fixture, 1);
    wait_heard(&fixture, "publish 8080\npublish 1\n");
    answer(&fixture, long_text);
    g_autofree char *cut = g_strnfill(400, 'x');
    g_autofree char *told = g_strdup_printf("error %s\n", cut);
    expect_told(&fixture, fd, told);
    /* The limit is within a character. */
    long_text[399] = (char)0xc3;
    long_text[400] = (char)0xbc;
    fd = proxy_asks(&fixture, 2);
    wait_heard(&fixture, "publish 8080\npublish 1\npublish 2\n");
    answer(&fixture, long_text);
    cut[399] = '\0';
    g_autofree char *whole = g_strdup_printf("error %s\n", cut);
    expect_told(&fixture, fd, whole);
    fixture_clear(&fixture);
}

/* A proxy that is gone before the answer: what was published for it is taken back. */
static void test_gone_while_publishing(void) {
    Fixture fixture;
    fixture_init(&fixture);
    close(proxy_asks(&fixture, 1));
    close(proxy_asks(&fixture, 2));
    wait_heard(&fixture, "publish 1\npublish 2\n");
    for (guint i = 0; i < 8; i++) { /* the hang-ups are noticed */
        g_assert_cmpint(dinv_loop_iterate(fixture.harness.loop, 0), ==, 0);
    }
    answer(&fixture, NULL);
    wait_heard(&fixture, "publish 1\npublish 2\nunpublish 1\n");
    answer(&fixture, "no");
    answer(&fixture, NULL);
    wait_heard(&fixture, "publish 1\npublish 2\nunpublish 1\n");
    fixture_clear(&fixture);
}

static void test_killed_when_published(void) {
    Fixture fixture;
    fixture_init(&fixture);
    int fd = proxy_asks(&fixture, 8080);
    wait_heard(&fixture, "publish 8080\n");
    answer(&fixture, NULL);
    close(fd);
    wait_heard(&fixture, "publish 8080\nunpublish 8080\n");
    answer(&fixture, "it was not there");
    fixture_clear(&fixture);
}

static void test_launcher_is_away(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fixture.result = -ENOTCONN;
    int fd = proxy_asks(&fixture, 8080);
    expect_told(&fixture, fd, "error the launcher does not answer\n");
    fixture.result = 0;
    fd = proxy_asks(&fixture, 8081);
    wait_heard(&fixture, "publish 8080\npublish 8081\n");
    answer(&fixture, NULL);
    fixture.result = -ENOTCONN;
    (void)shutdown(fd, SHUT_WR);
    expect_told(&fixture, fd, "ok\n");
    fixture_clear(&fixture);
}

static void test_nonsense(void) {
    static const char *const lines[] = {
        "\n",
        "hello\n",
        "[]\n",
        "{\"protocol\":\"tcp\"}\n",
        "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":80,\"guest_port\":80,"
        "\"is_guests\":1,\"is_shared\":false,\"container\":\"\"}\n",
        "{\"protocol\":6,\"address\":\"0.0.0.0\",\"port\":80,\"guest_port\":80,"
        "\"is_guests\":true,\"is_shared\":false,\"container\":\"\"}\n",
        "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":80,\"guest_port\":80,"
        "\"is_guests\":true,\"is_shared\":false,\"container\":\"\"} x\n",
    };
    Fixture fixture;
    fixture_init(&fixture);
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        int fd = proxy_says(&fixture, lines[i]);
        expect_told(&fixture, fd,
                    "error dinv-port-proxy asked for something that makes no sense\n");
    }
    g_autofree char *endless = g_strnfill(DINV_PUBLISH_LINE_SIZE, ' ');
    int fd = proxy_says(&fixture, endless);
    expect_told(&fixture, fd, "");
    close(proxy_says(&fixture, "{\"protocol\":")); /* half a line */
    g_assert_cmpint(dinv_loop_iterate(fixture.harness.loop, 100), ==, 0);
    g_assert_cmpstr(fixture.heard->str, ==, "");
    fixture_clear(&fixture);
}

/* A line that comes byte by byte, and more than was asked for in it. */
static void test_pieces(void) {
    static const char line[] = "{\"protocol\":\"udp\",\"address\":\"127.0.0.1\",\"port\":53,"
                               "\"guest_port\":53,\"is_guests\":true,\"is_shared\":false,"
                               "\"container\":\"[fd00::2]:53\",\"more\":[{}]}\n";
    Fixture fixture;
    fixture_init(&fixture);
    int fd = proxy_says(&fixture, "");
    for (gsize i = 0; i < sizeof line - 1; i++) {
        g_assert_cmpint(send(fd, line + i, 1, 0), ==, 1);
        g_assert_cmpint(dinv_loop_iterate(fixture.harness.loop, 100), ==, 0);
    }
    wait_heard(&fixture, "publish 53\n");
    answer(&fixture, "no");
    expect_told(&fixture, fd, "error no\n");
    fixture_clear(&fixture);
}

/* Hundreds at once, some of which are still there at the end. */
static void test_many(void) {
    enum { MANY = 300 };
    Fixture fixture;
    int fds[MANY];
    fixture_init(&fixture);
    g_autoptr(GString) expected = g_string_new(NULL);
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = proxy_asks(&fixture, i + 1);
        g_string_append_printf(expected, "publish %u\n", i + 1);
        wait_heard(&fixture, expected->str);
    }
    for (unsigned i = 0; i < MANY; i++) {
        answer(&fixture, NULL);
    }
    for (unsigned i = 0; i < MANY; i += 2) {
        g_string_append_printf(expected, "unpublish %u\n", i + 1);
        (void)shutdown(fds[i], SHUT_WR);
        wait_heard(&fixture, expected->str);
        answer(&fixture, NULL);
        expect_told(&fixture, fds[i], "ok\n");
    }
    fixture_clear(&fixture);
    for (unsigned i = 1; i < MANY; i += 2) {
        close(fds[i]);
    }
}

static void test_request_lines(void) {
    char line[DINV_PUBLISH_LINE_SIZE];
    DinvPortsWish wish = {.protocol = "tcp",
                          .address = "0.0.0.0",
                          .port = 65535,
                          .guest_port = 80,
                          .is_guests = true,
                          .container = "172.17.0.2:80"};
    int len = dinv_ports_request_format(line, &wish);
    g_assert_cmpint(len, ==, (int)strlen(line));
    g_assert_cmpint(line[len - 1], ==, '\n');
    struct json_object *fields = dinv_ports_request_parse(line, (size_t)len - 1);
    g_assert_cmpstr(json_object_to_json_string_ext(fields, JSON_C_TO_STRING_PLAIN), ==,
                    "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":65535,"
                    "\"guest_port\":80,\"is_guests\":true,\"is_shared\":false,"
                    "\"container\":\"172.17.0.2:80\"}");
    json_object_put(fields);
    g_autofree char *wide = g_strnfill(DINV_PUBLISH_LINE_SIZE, 'x');
    wish.address = wide;
    g_assert_cmpint(dinv_ports_request_format(line, &wish), ==, -EMSGSIZE);
}

static void test_no_socket(void) {
    Fixture fixture;
    fixture_init(&fixture);
    g_autofree char *nowhere = g_build_filename(fixture.directory, "none", "socket", NULL);
    g_assert_null(dinv_ports_publish_new(fixture.harness.loop, nowhere, request, &fixture));
    g_assert_cmpint(errno, ==, ENOENT);
    g_autofree char *wide = g_strnfill(200, 'x');
    g_assert_null(dinv_ports_publish_new(fixture.harness.loop, wide, request, &fixture));
    g_assert_cmpint(errno, ==, ENAMETOOLONG);
    fixture_clear(&fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/publish/published-until-released", test_published_until_released);
    g_test_add_func("/guest/publish/refused", test_refused);
    g_test_add_func("/guest/publish/gone-while-publishing", test_gone_while_publishing);
    g_test_add_func("/guest/publish/killed-when-published", test_killed_when_published);
    g_test_add_func("/guest/publish/launcher-is-away", test_launcher_is_away);
    g_test_add_func("/guest/publish/nonsense", test_nonsense);
    g_test_add_func("/guest/publish/pieces", test_pieces);
    g_test_add_func("/guest/publish/many", test_many);
    g_test_add_func("/guest/publish/request-lines", test_request_lines);
    g_test_add_func("/guest/publish/no-socket", test_no_socket);
    return g_test_run();
}

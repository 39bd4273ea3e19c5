/* SPDX-License-Identifier: MIT */
/* What the launcher is asked for when sockets come and go in a made-up /proc. */
#include "guest/ports/listeners.h"

#include <sys/stat.h>

#include "tests/unit/lib/fake-proc.h"
#include "tests/unit/lib/guest-harness.h"

#define CONTAINER "/docker/0123456789abcdef0123456789abcdef"
#define HEADER    "  sl  local_address rem_address   st\n"
#define LINE(address, port, state, inode)                                                          \
    "   0: " address ":" port " 00000000:0000 " state                                              \
    " 00000000:00000000 00:00000000 00000000  0 0 " inode " 1\n"
#define TCP(port, inode) LINE("00000000", port, "0A", inode)
#define UDP(port, inode) LINE("00000000", port, "07", inode)

typedef struct {
    DinvChannelControlAnswer answer;
    void *user;
} Pending;

typedef struct {
    Harness harness;
    Scratch proc;
    DinvPortsListeners *listeners;
    GString *heard; /* "verb protocol address port container\n" for each request */
    GPtrArray *answers;
    int result; /* of the next requests */
    const char *expected;
} Fixture;

static int request(void *user, const char *verb, struct json_object *fields,
                   DinvChannelControlAnswer answer, void *answer_user) {
    Fixture *fixture = user;
    static const char *const names[] = {"protocol", "address", "port", "container"};
    g_string_append(fixture->heard, verb);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        struct json_object *value = NULL;
        g_assert_true(json_object_object_get_ex(fields, names[i], &value));
        g_string_append_printf(fixture->heard, " %s", json_object_get_string(value));
    }
    g_string_append_c(fixture->heard, '\n');
    json_object_put(fields);
    if (fixture->result == 0) {
        Pending *pending = g_new(Pending, 1);
        *pending = (Pending){answer, answer_user};
        g_ptr_array_add(fixture->answers, pending);
    }
    return fixture->result;
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    harness_init(&fixture->harness);
    scratch_make(&fixture->proc);
    fixture->heard = g_string_new(NULL);
    fixture->answers = g_ptr_array_new_with_free_func(g_free);
    scratch_write(&fixture->proc, "sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    fixture->listeners = dinv_ports_listeners_new(fixture->harness.loop, fixture->proc.path,
                                                  "engine", request, fixture);
    g_assert_nonnull(fixture->listeners);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_ports_listeners_free(fixture->listeners);
    harness_clear(&fixture->harness);
    scratch_remove(&fixture->proc);
    g_string_free(fixture->heard, TRUE);
    g_ptr_array_unref(fixture->answers);
}

static void answer_all(Fixture *fixture, const char *error) {
    while (fixture->answers->len > 0) {
        Pending pending = *(Pending *)g_ptr_array_index(fixture->answers, 0);
        g_ptr_array_remove_index(fixture->answers, 0);
        pending.answer(pending.user, error);
    }
}

static bool has_heard(void *user) {
    const Fixture *fixture = user;
    return g_str_has_suffix(fixture->heard->str, fixture->expected);
}

/* Waits until `expected` is all that was heard since the last call. */
static void expect(Fixture *fixture, const char *expected) {
    fixture->expected = expected;
    harness_run_until(&fixture->harness, has_heard, fixture);
    g_assert_cmpstr(fixture->heard->str, ==, expected);
    g_string_truncate(fixture->heard, 0);
}

/* Something that is heard of after the next look: what stood in the tables before was looked at. */
static void expect_nothing_but(Fixture *fixture, const char *tcp) {
    g_autofree char *table = g_strconcat(tcp, TCP("0001", "99"), NULL);
    fake_proc_add(&fixture->proc, 99, "mark", CONTAINER, 99);
    scratch_write(&fixture->proc, "net/tcp", table);
    expect(fixture, "publish tcp 0.0.0.0 1 container 0123456789ab\n"
                    "publish tcp :: 1 container 0123456789ab\n");
    answer_all(fixture, NULL);
}

static void test_comes_and_goes(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_proc_add(&fixture->proc, 10, "server", CONTAINER, 4711);
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "4711"));
    scratch_write(&fixture->proc, "net/udp6", HEADER);
    dinv_ports_listeners_start(fixture->listeners);
    dinv_ports_listeners_start(fixture->listeners);
    expect(fixture, "publish tcp 0.0.0.0 8080 container 0123456789ab\n"
                    "publish tcp :: 8080 container 0123456789ab\n");
    answer_all(fixture, NULL);
    scratch_write(&fixture->proc, "net/tcp", HEADER);
    fixture->expected = "8080 container 0123456789ab\n";
    harness_run_until(&fixture->harness, has_heard, fixture);
    g_assert_nonnull(strstr(fixture->heard->str, "unpublish tcp 0.0.0.0 8080"));
    g_assert_nonnull(strstr(fixture->heard->str, "unpublish tcp :: 8080"));
    g_string_truncate(fixture->heard, 0);
    answer_all(fixture, "gone already");
    /* The port can be used again. */
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "4711"));
    expect(fixture, "publish tcp 0.0.0.0 8080 container 0123456789ab\n"
                    "publish tcp :: 8080 container 0123456789ab\n");
    answer_all(fixture, NULL);
}

/* The socket ends while the launcher is still asked. */
static void test_gone_too_soon(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_proc_add(&fixture->proc, 10, "server", CONTAINER, 4711);
    scratch_write(&fixture->proc, "net/udp", HEADER UDP("0035", "4711"));
    dinv_ports_listeners_start(fixture->listeners);
    expect(fixture, "publish udp 0.0.0.0 53 container 0123456789ab\n"
                    "publish udp :: 53 container 0123456789ab\n");
    g_autoptr(GPtrArray) early = g_steal_pointer(&fixture->answers);
    fixture->answers = g_ptr_array_new_with_free_func(g_free);
    scratch_write(&fixture->proc, "net/udp", HEADER);
    expect_nothing_but(fixture, HEADER);
    for (guint i = 0; i < early->len; i++) {
        const Pending *pending = g_ptr_array_index(early, i);
        pending->answer(pending->user, i == 0 ? NULL : "refused");
    }
    expect(fixture, "unpublish udp 0.0.0.0 53 container 0123456789ab\n");
    answer_all(fixture, NULL);
}

static void test_not_published(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_proc_add(&fixture->proc, 10, "dockerd", "/engine", 20);
    fake_proc_add(&fixture->proc, 11, "docker-proxy", "/engine", 21);
    fake_proc_add(&fixture->proc, 12, "sh", "/", 22);
    fake_proc_add(&fixture->proc, 13, "client", CONTAINER, 23);
    fake_proc_add(&fixture->proc, 14, "local", CONTAINER, 24);
    scratch_write(&fixture->proc, "net/udp", HEADER UDP("8000", "23") UDP("1F0A", "20"));
    scratch_write(&fixture->proc, "net/tcp",
                  HEADER TCP("0949", "20") TCP("1F0A", "20") TCP("0050", "21") TCP("0051", "22")
                      LINE("0100007F", "0052", "0A", "24") LINE("00000000", "0053", "01", "24"));
    dinv_ports_listeners_start(fixture->listeners);
    expect_nothing_but(fixture, HEADER TCP("0949", "20") TCP("1F0A", "20") TCP("0050", "21"));
    /* What a swarm's service is reached at is dockerd's socket. */
    scratch_write(&fixture->proc, "net/tcp6",
                  HEADER LINE("00000000000000000000000000000000", "0054", "0A", "20"));
    expect(fixture, "publish tcp 0.0.0.0 84 a service of the swarm\n"
                    "publish tcp :: 84 a service of the swarm\n");
    answer_all(fixture, NULL);
}

static bool has_rules(void *user) {
    const Fixture *fixture = user;
    g_autofree char *path = scratch_path(&fixture->proc, "log");
    g_autofree char *log = NULL;
    return g_file_get_contents(path, &log, NULL, NULL) &&
           (g_strrstr(log, "--dport 82 ") != NULL) == (fixture->expected != NULL) &&
           g_str_has_suffix(log, "COMMIT\n");
}

/* A container's server on the loopback is published there; no other's, and on no other address. */
static void test_loopback(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *program = scratch_path(&fixture->proc, "restore");
    g_autofree char *script = g_strdup_printf("#!/bin/sh\ncat >'%s/log'\n", fixture->proc.path);
    scratch_write(&fixture->proc, "restore", script);
    g_assert_cmpint(chmod(program, 0755), ==, 0);
    scratch_write(&fixture->proc, "sys/net/ipv4/conf/eth0/route_localnet", "0\n");
    DinvNetworkLoopback *loopback =
        dinv_network_loopback_new(fixture->harness.loop, program, fixture->proc.path);
    dinv_ports_listeners_use_loopback(fixture->listeners, loopback);
    fake_proc_add(&fixture->proc, 10, "dockerd", "/engine", 20);
    fake_proc_add(&fixture->proc, 11, "sh", "/", 21);
    fake_proc_add(&fixture->proc, 12, "local", CONTAINER, 22);
    fake_proc_add(&fixture->proc, 13, "other", CONTAINER, 23);
    scratch_write(&fixture->proc, "net/tcp",
                  HEADER LINE("0100007F", "0050", "0A", "20") LINE("0100007F", "0051", "0A", "21")
                      LINE("0100007F", "0052", "0A", "22") LINE("0F02000A", "0053", "0A", "23"));
    dinv_ports_listeners_start(fixture->listeners);
    expect(fixture, "publish tcp 127.0.0.1 82 container 0123456789ab\n"
                    "publish tcp ::1 82 container 0123456789ab\n");
    fixture->expected = "";
    harness_run_until(&fixture->harness, has_rules, fixture);
    answer_all(fixture, NULL);
    scratch_write(&fixture->proc, "net/tcp", HEADER);
    fixture->expected = "82 container 0123456789ab\n";
    harness_run_until(&fixture->harness, has_heard, fixture);
    answer_all(fixture, NULL);
    fixture->expected = NULL;
    harness_run_until(&fixture->harness, has_rules, fixture);
    dinv_network_loopback_free(loopback);
}

static bool is_later(void *user) {
    return g_get_monotonic_time() > *(gint64 *)user;
}

/* A table that cannot be read is none in which nothing listens. */
static void test_unreadable(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_proc_add(&fixture->proc, 10, "server", CONTAINER, 4711);
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "4711"));
    dinv_ports_listeners_start(fixture->listeners);
    expect(fixture, "publish tcp 0.0.0.0 8080 container 0123456789ab\n"
                    "publish tcp :: 8080 container 0123456789ab\n");
    answer_all(fixture, NULL);
    g_autofree char *path = scratch_path(&fixture->proc, "net/udp6");
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    scratch_write(&fixture->proc, "net/tcp", HEADER);
    gint64 after_some_looks = g_get_monotonic_time() + 2500000;
    harness_run_until(&fixture->harness, is_later, &after_some_looks);
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "4711"));
    g_assert_cmpint(g_rmdir(path), ==, 0);
    expect_nothing_but(fixture, HEADER TCP("1F90", "4711"));
}

/* What the launcher refuses is not asked for again, until another socket has the port. */
static void test_refused(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_proc_add(&fixture->proc, 10, "server", CONTAINER, 20);
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "20"));
    fixture->result = -ENOTCONN;
    dinv_ports_listeners_start(fixture->listeners);
    expect(fixture, "publish tcp 0.0.0.0 8080 container 0123456789ab\n"
                    "publish tcp :: 8080 container 0123456789ab\n");
    fixture->result = 0;
    expect_nothing_but(fixture, HEADER TCP("1F90", "20"));
    fake_proc_add(&fixture->proc, 11, "server", CONTAINER, 21);
    scratch_write(&fixture->proc, "net/tcp", HEADER TCP("1F90", "21") TCP("0001", "99"));
    expect(fixture, "publish tcp 0.0.0.0 8080 container 0123456789ab\n"
                    "publish tcp :: 8080 container 0123456789ab\n");
    answer_all(fixture, "address already in use");
}

/* No table can make it follow more than it can hold, or publish a port twice. */
static void test_many(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(GString) table = g_string_new(HEADER);
    fake_proc_add(&fixture->proc, 10, "server", CONTAINER, 20);
    for (guint port = 1; port <= 6000; port++) {
        g_string_append_printf(table, LINE("00000000", "%04X", "0A", "20"), port % 3000 + 1);
    }
    scratch_write(&fixture->proc, "net/tcp", table->str);
    dinv_ports_listeners_start(fixture->listeners);
    fixture->expected = "\n";
    harness_run_until(&fixture->harness, has_heard, fixture);
    g_assert_cmpuint(fixture->answers->len, ==, 1024);
    answer_all(fixture, NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/guest/ports/listeners/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("comes-and-goes", test_comes_and_goes);
    ADD("gone-too-soon", test_gone_too_soon);
    ADD("not-published", test_not_published);
    ADD("loopback", test_loopback);
    ADD("unreadable", test_unreadable);
    ADD("refused", test_refused);
    ADD("many", test_many);
    return g_test_run();
}

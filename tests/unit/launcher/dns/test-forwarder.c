/* SPDX-License-Identifier: MIT */
/* The forwarder and its queries, over real sockets. */
#include "tests/unit/lib/dns-fixture.h"

#define NEW_FILE "search new.example\n"

static void test_byte_for_byte(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GByteArray) query = make_query("Web.Outer.test", DINV_DNS_TYPE_A);
    Reply reply;
    ask(fixture, "Web.Outer.test", DINV_DNS_TYPE_A, &reply);
    assert_same(fixture->servers[0].last->data, fixture->servers[0].last->len, query->data,
                query->len);
    g_autoptr(GByteArray) expected = make_reply(fixture, &fixture->servers[0]);
    assert_same(reply.bytes, reply.len, expected->data, expected->len);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 1);
    g_assert_cmpuint(fixture->servers[1].asked, ==, 0);
}

/* The outer container by both its names, and what its hosts file says; nobody else is asked. */
static void test_own_answers(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const guint8 gateway[] = {10, 0, 2, 2};
    static const guint8 five[] = {192, 0, 2, 5};
    Reply reply;
    for (guint i = 0; i < DINV_DNS_OWN_NAMES; i++) {
        ask(fixture, dinv_dns_own_names[i], DINV_DNS_TYPE_A, &reply);
        assert_same(reply.bytes + reply.len - 4, 4, gateway, 4);
        ask(fixture, dinv_dns_own_names[i], DINV_DNS_TYPE_AAAA, &reply);
        g_assert_cmpuint(dinv_dns_get_code(reply.bytes), ==, DINV_DNS_NO_ERROR);
        g_assert_cmpuint(reply.bytes[7], ==, 0); /* answers */
    }
    ask(fixture, "FIVE.example", DINV_DNS_TYPE_A, &reply);
    assert_same(reply.bytes + reply.len - 4, 4, five, 4);
    ask(fixture, "five", DINV_DNS_TYPE_AAAA, &reply);
    g_assert_cmpuint(reply.bytes[reply.len - 1], ==, 5);
    g_assert_cmpuint(reply.bytes[7], ==, 1);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 0);
    ask(fixture, "five", 15, &reply); /* MX: no matter of a hosts file */
    g_assert_cmpuint(fixture->servers[0].asked, ==, 1);
}

static void test_refused(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    Reply reply;
    ask(fixture, "outer.test", 252, &reply); /* AXFR */
    g_assert_cmpuint(dinv_dns_get_code(reply.bytes), ==, DINV_DNS_REFUSED);
    /* An update, and what is no query at all, between two that are answered. */
    int fd = connect_client(fixture, SOCK_DGRAM);
    g_autoptr(GByteArray) update = make_query("outer.test", DINV_DNS_TYPE_A);
    update->data[2] = 5 << 3;
    g_autoptr(GByteArray) response = make_query("outer.test", DINV_DNS_TYPE_A);
    response->data[2] |= 0x80;
    g_assert_cmpint(send(fd, response->data, response->len, 0), >, 0);
    g_assert_cmpint(send(fd, "x", 1, 0), ==, 1);
    g_assert_cmpint(send(fd, update->data, update->len, 0), >, 0);
    wait_until(take_datagram(fd, &reply));
    g_assert_cmpuint(dinv_dns_get_code(reply.bytes), ==, DINV_DNS_NOTIMP);
    close(fd);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 0);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 0);
}

/* --- Resolvers that do not answer --- */

static void test_silent_first(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->servers[0].mode = SILENT;
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 1);
    /* From now on the other is asked first. */
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 1);
    /* Until that one is silent. */
    fixture->servers[0].mode = ANSWERS;
    fixture->servers[1].mode = SILENT;
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 0);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 0);
    g_assert_cmpuint(fixture->servers[1].asked, ==, 3);
}

static void test_absent_first(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    close_server(&fixture->servers[0]);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
}

/* A failure in words says nothing about other names: the order stays. */
static void test_failing_first(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->servers[0].mode = FAILS;
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 2);
}

/* Whatever way they fail, the client hears of it, with its question. */
static void test_all_fail(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const ServerMode modes[][2] = {{FAILS, FAILS},  {FAILS_BRIEFLY, FAILS_BRIEFLY},
                                          {SILENT, FAILS}, {SILENT, LIES},
                                          {FAILS, CLOSED}, {CLOSED, CLOSED}};
    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        Reply reply;
        for (guint j = 0; j < 2; j++) {
            if (modes[i][j] == CLOSED) {
                close_server(&fixture->servers[j]);
            }
            fixture->servers[j].mode = modes[i][j];
        }
        g_test_message("case %u", i);
        ask(fixture, "web.outer.test", DINV_DNS_TYPE_A, &reply);
        g_assert_cmpuint(dinv_dns_get_code(reply.bytes), ==, DINV_DNS_SERVFAIL);
        g_assert_true(dinv_dns_has_question(reply.bytes));
    }
}

/* A datagram got lost: the only server is asked again. */
static void test_asked_again(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    use_servers(fixture, "0", "");
    fixture->servers[0].mode = SILENT;
    g_autoptr(GByteArray) query = make_query("web.outer.test", DINV_DNS_TYPE_A);
    Reply reply;
    int fd = connect_client(fixture, SOCK_DGRAM);
    g_assert_cmpint(send(fd, query->data, query->len, 0), >, 0);
    wait_until(fixture->servers[0].asked == 1);
    fixture->servers[0].mode = ANSWERS;
    wait_until(take_datagram(fd, &reply));
    g_assert_cmpuint(fixture->servers[0].asked, ==, 2);
    close(fd);
}

static void test_ipv6_only(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    use_servers(fixture, "2", "");
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 2);
}

/* --- Files that change --- */

static void test_files_change(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 0);
    use_servers(fixture, "1", "");
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpuint(fixture->changes, ==, 0); /* the search domains are the same */
    use_servers(fixture, "1", NEW_FILE);
    wait_until(fixture->changes == 1); /* before any query */
    g_assert_cmpstr(fixture->search, ==, "new.example");
    scratch_write(&fixture->scratch, "hosts", "192.0.2.6 web.outer.test\n");
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 6);
    g_assert_cmpint(g_remove(fixture->hosts), ==, 0);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 1);
    g_assert_cmpuint(fixture->changes, ==, 1);
}

/* --- TCP --- */

static gboolean read_message(DinvDnsStream *stream) {
    DinvDnsProgress progress = dinv_dns_stream_read(stream);
    g_assert_cmpint(progress, !=, DINV_DNS_STREAM_FAILED);
    return progress == DINV_DNS_STREAM_DONE;
}

static gboolean is_at_end(DinvDnsStream *stream) {
    return dinv_dns_stream_read(stream) == DINV_DNS_STREAM_FAILED;
}

/* Several queries on one connection, the second in single bytes, then one that is no query. */
static void test_tcp(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GByteArray) query = make_query("web.outer.test", DINV_DNS_TYPE_A);
    DinvDnsStream stream;
    gsize len;
    dinv_dns_stream_init(&stream, connect_client(fixture, SOCK_STREAM));
    dinv_dns_stream_put(&stream, query->data, query->len);
    g_assert_cmpint(dinv_dns_stream_write(&stream), ==, DINV_DNS_STREAM_DONE);
    wait_until(read_message(&stream));
    g_autoptr(GByteArray) expected = make_reply(fixture, &fixture->servers[0]);
    const guint8 *reply = dinv_dns_stream_get(&stream, &len);
    assert_same(reply, len, expected->data, expected->len);
    g_assert_cmpuint(fixture->servers[0].asked, ==, 0);
    g_assert_cmpuint(fixture->servers[0].asked_over_tcp, ==, 1);
    g_autoptr(GByteArray) own = make_query("host.docker.internal", DINV_DNS_TYPE_A);
    dinv_dns_stream_put(&stream, own->data, own->len);
    for (guint i = 0; i < stream.out->len; i++) {
        g_assert_cmpint(send(stream.fd, stream.out->data + i, 1, 0), ==, 1);
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    wait_until(read_message(&stream));
    reply = dinv_dns_stream_get(&stream, &len);
    g_assert_cmpuint(reply[len - 4], ==, 10);
    dinv_dns_stream_put(&stream, (const guint8 *)"nonsense", 8);
    g_assert_cmpint(dinv_dns_stream_write(&stream), ==, DINV_DNS_STREAM_DONE);
    wait_until(is_at_end(&stream));
    dinv_dns_stream_clear(&stream);
}

static void test_tcp_failover(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GByteArray) query = make_query("web.outer.test", DINV_DNS_TYPE_A);
    DinvDnsStream stream;
    gsize len;
    use_servers(fixture, "0 1 2", "");
    close_server(&fixture->servers[0]);
    fixture->servers[1].mode = SILENT;
    dinv_dns_stream_init(&stream, connect_client(fixture, SOCK_STREAM));
    dinv_dns_stream_put(&stream, query->data, query->len);
    g_assert_cmpint(dinv_dns_stream_write(&stream), ==, DINV_DNS_STREAM_DONE);
    wait_until(read_message(&stream));
    const guint8 *reply = dinv_dns_stream_get(&stream, &len);
    g_assert_cmpuint(reply[len - 1], ==, 2);
    dinv_dns_stream_clear(&stream);
}

/* --- A guest that floods --- */

/* Datagrams without end to servers that are silent, and connections that say nothing. */
static void test_flood(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    enum { DATAGRAMS = 2000, CLIENTS = 100 };
    const gsize most = DINV_DNS_REQUESTS_MAX * 2 + DINV_DNS_CONNECTIONS_MAX;
    int clients[CLIENTS];
    fixture->servers[0].mode = SILENT;
    fixture->servers[1].mode = SILENT;
    for (guint i = 0; i < CLIENTS; i++) {
        /* Nobody accepts all of them: not blocking, as the queue is short. */
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_port = htons(dinv_dns_forwarder_get_port(fixture->forwarder)),
            .sin_addr = {htonl(INADDR_LOOPBACK)}};
        (void)connect(clients[i], (const struct sockaddr *)&address, sizeof address);
    }
    int fd = connect_client(fixture, SOCK_DGRAM);
    g_autoptr(GByteArray) query = make_query("web.outer.test", DINV_DNS_TYPE_A);
    const gsize before = count_descriptors();
    gsize highest = 0;
    for (guint i = 0; i < DATAGRAMS; i++) {
        g_assert_cmpint(send(fd, query->data, query->len, 0), >, 0);
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        highest = i % 100 == 0 ? MAX(highest, count_descriptors()) : highest;
    }
    wait_until(fixture->servers[1].asked >= DINV_DNS_REQUESTS_MAX);
    highest = MAX(highest, count_descriptors());
    g_test_message("%zu descriptors before, %zu at most", before, highest);
    g_assert_cmpuint(highest, <=, before + most);
    g_assert_cmpuint(highest, >, before + DINV_DNS_REQUESTS_MAX); /* it was a flood */
    /* What we know ourselves is answered all the while. */
    Reply reply;
    ask(fixture, "five", DINV_DNS_TYPE_A, &reply);
    g_assert_cmpuint(reply.bytes[reply.len - 1], ==, 5);
    /* And everything else when it is over: the queries end, the connections are closed. */
    for (guint i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    fixture->servers[0].mode = ANSWERS;
    wait_until(count_descriptors() <= before - CLIENTS + 1);
    g_assert_cmpint(ask_who(fixture, "web.outer.test"), ==, 0);
    close(fd);
}

/* Freed with queries under way, of all kinds. */
static void test_freed_while_busy(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->servers[0].mode = SILENT;
    g_autoptr(GByteArray) query = make_query("web.outer.test", DINV_DNS_TYPE_A);
    DinvDnsStream stream;
    int fd = connect_client(fixture, SOCK_DGRAM);
    g_assert_cmpint(send(fd, query->data, query->len, 0), >, 0);
    dinv_dns_stream_init(&stream, connect_client(fixture, SOCK_STREAM));
    dinv_dns_stream_put(&stream, query->data, query->len);
    g_assert_cmpint(dinv_dns_stream_write(&stream), ==, DINV_DNS_STREAM_DONE);
    wait_until(fixture->servers[0].asked == 1 && fixture->servers[0].asked_over_tcp == 1);
    g_clear_pointer(&fixture->forwarder, dinv_dns_forwarder_free);
    wait_until(is_at_end(&stream));
    dinv_dns_stream_clear(&stream);
    close(fd);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/dns-forwarder/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("byte-for-byte", test_byte_for_byte);
    ADD("own-answers", test_own_answers);
    ADD("refused", test_refused);
    ADD("silent-first", test_silent_first);
    ADD("absent-first", test_absent_first);
    ADD("failing-first", test_failing_first);
    ADD("all-fail", test_all_fail);
    ADD("asked-again", test_asked_again);
    ADD("ipv6-only", test_ipv6_only);
    ADD("files-change", test_files_change);
    ADD("tcp", test_tcp);
    ADD("tcp-failover", test_tcp_failover);
    ADD("flood", test_flood);
    ADD("freed-while-busy", test_freed_while_busy);
    return g_test_run();
}

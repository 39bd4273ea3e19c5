/* SPDX-License-Identifier: MIT */
/*
 * A DNS forwarder between a client and name servers that the test plays, all of them in the one
 * main loop, on addresses of the loopback network and one port. Included once per test program.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/dns/forwarder.h"
#include "launcher/dns/message.h"
#include "launcher/dns/stream.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

#define STEP_MS 300u
#define SERVERS 3u

typedef enum { ANSWERS, SILENT, FAILS, FAILS_BRIEFLY, LIES, CLOSED } ServerMode;

typedef struct {
    const char *address;
    ServerMode mode;
    int datagram_fd;
    int listen_fd;
    guint sources[2];
    guint asked; /* by datagram */
    guint asked_over_tcp;
    GByteArray *last; /* the query as it came */
} Server;

typedef struct {
    Scratch scratch;
    char *resolv_conf;
    char *hosts;
    guint16 port;
    Server servers[SERVERS]; /* 127.0.0.2, 127.0.0.3 and ::1 */
    DinvDnsForwarder *forwarder;
    guint changes;
    char *search; /* at the last change */
} Fixture;

static void assert_same(const guint8 *left, gsize left_len, const guint8 *right, gsize right_len) {
    g_assert_cmpuint(left_len, ==, right_len);
    g_assert_cmpint(memcmp(left, right, left_len), ==, 0);
}

/* --- The servers --- */

/* The query, made a reply with 0.0.0.0 to 255.255.255.255 as the address: the server's number. */
static GByteArray *make_reply(const Fixture *fixture, const Server *server) {
    static const guint8 record[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 51, 100};
    const guint8 number = (guint8)(server - fixture->servers);
    GByteArray *reply = g_byte_array_new();
    g_byte_array_append(reply, server->last->data, server->last->len);
    reply->data[2] |= 0x80;
    if (server->mode == FAILS || server->mode == FAILS_BRIEFLY) {
        reply->data[3] = DINV_DNS_SERVFAIL;
        if (server->mode == FAILS_BRIEFLY) {
            memset(reply->data + 4, 0, 8);
            g_byte_array_set_size(reply, DINV_DNS_HEADER);
        }
        return reply;
    }
    if (server->mode == LIES) {
        reply->data[0] ^= 1; /* another id */
    }
    reply->data[7] = 1;
    g_byte_array_append(reply, record, sizeof record);
    g_byte_array_append(reply, &number, 1);
    return reply;
}

static Fixture *the_fixture;

static gboolean on_server_datagram(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    Server *server = user;
    struct sockaddr_storage client;
    socklen_t client_len = sizeof client;
    guint8 query[4096];
    ssize_t len = recvfrom(fd, query, sizeof query, 0, (struct sockaddr *)&client, &client_len);
    g_assert_cmpint(len, >, 0);
    server->asked++;
    g_byte_array_set_size(server->last, 0);
    g_byte_array_append(server->last, query, (guint)len);
    if (server->mode != SILENT) {
        g_autoptr(GByteArray) reply = make_reply(the_fixture, server);
        g_assert_cmpint(
            sendto(fd, reply->data, reply->len, 0, (struct sockaddr *)&client, client_len), ==,
            (ssize_t)reply->len);
    }
    return G_SOURCE_CONTINUE;
}

typedef struct {
    Server *server;
    DinvDnsStream stream;
} ServerConnection;

/* Until the other side closes. */
static gboolean on_server_stream(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                                 gpointer user) {
    ServerConnection *connection = user;
    Server *server = connection->server;
    DinvDnsProgress progress = dinv_dns_stream_read(&connection->stream);
    if (progress == DINV_DNS_STREAM_AGAIN) {
        return G_SOURCE_CONTINUE;
    }
    if (progress == DINV_DNS_STREAM_FAILED) {
        dinv_dns_stream_clear(&connection->stream);
        g_free(connection);
        return G_SOURCE_REMOVE;
    }
    gsize len;
    const guint8 *query = dinv_dns_stream_get(&connection->stream, &len);
    server->asked_over_tcp++;
    g_byte_array_set_size(server->last, 0);
    g_byte_array_append(server->last, query, (guint)len);
    if (server->mode != SILENT) {
        g_autoptr(GByteArray) reply = make_reply(the_fixture, server);
        dinv_dns_stream_put(&connection->stream, reply->data, reply->len);
        g_assert_cmpint(dinv_dns_stream_write(&connection->stream), ==, DINV_DNS_STREAM_DONE);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_server_accept(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_assert_cmpint(client, >=, 0);
    ServerConnection *connection = g_new0(ServerConnection, 1);
    connection->server = user;
    dinv_dns_stream_init(&connection->stream, client);
    g_unix_fd_add(client, G_IO_IN, on_server_stream, connection);
    return G_SOURCE_CONTINUE;
}

/* -1 if the port is taken at this address. */
static int bind_to(const char *address, guint16 port, int type) {
    g_autoptr(GSocketAddress) target = g_inet_socket_address_new_from_string(address, port);
    struct sockaddr_storage native;
    gssize size = g_socket_address_get_native_size(target);
    g_assert_true(g_socket_address_to_native(target, &native, sizeof native, NULL));
    int fd = socket(native.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(fd, >=, 0);
    int one = 1;
    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), ==, 0);
    if (bind(fd, (struct sockaddr *)&native, (socklen_t)size) < 0 ||
        (type == SOCK_STREAM && listen(fd, 64) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void close_server(Server *server) {
    g_clear_handle_id(&server->sources[0], g_source_remove);
    g_clear_handle_id(&server->sources[1], g_source_remove);
    if (server->datagram_fd >= 0) {
        close(server->datagram_fd);
    }
    if (server->listen_fd >= 0) {
        close(server->listen_fd);
    }
    server->datagram_fd = -1;
    server->listen_fd = -1;
    server->mode = CLOSED;
}

static gboolean open_servers(Fixture *fixture, guint16 port) {
    static const char *const addresses[SERVERS] = {"127.0.0.2", "127.0.0.3", "::1"};
    gboolean opened = TRUE;
    for (guint i = 0; i < SERVERS; i++) {
        Server *server = &fixture->servers[i];
        server->address = addresses[i];
        server->mode = ANSWERS;
        server->datagram_fd = bind_to(addresses[i], port, SOCK_DGRAM);
        server->listen_fd = bind_to(addresses[i], port, SOCK_STREAM);
        opened = opened && server->datagram_fd >= 0 && server->listen_fd >= 0;
    }
    for (guint i = 0; i < SERVERS; i++) {
        Server *server = &fixture->servers[i];
        if (!opened) {
            close_server(server);
            continue;
        }
        server->last = g_byte_array_new();
        server->sources[0] =
            g_unix_fd_add(server->datagram_fd, G_IO_IN, on_server_datagram, server);
        server->sources[1] = g_unix_fd_add(server->listen_fd, G_IO_IN, on_server_accept, server);
    }
    return opened;
}

/* --- The whole --- */

static void on_changed(const DinvDnsResolverFiles *files, gpointer user) {
    Fixture *fixture = user;
    fixture->changes++;
    g_free(fixture->search);
    fixture->search = g_strjoinv(" ", files->search);
}

/* Has them as resolvers, in this order: "0 2" is 127.0.0.2 and ::1. */
static void use_servers(Fixture *fixture, const char *numbers, const char *more) {
    g_autoptr(GString) text = g_string_new(more);
    g_auto(GStrv) list = g_strsplit(numbers, " ", -1);
    for (guint i = 0; list[i] != NULL; i++) {
        g_string_append_printf(text, "nameserver %s\n", fixture->servers[atoi(list[i])].address);
    }
    scratch_write(&fixture->scratch, "resolv.conf", text->str);
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    the_fixture = fixture;
    scratch_make(&fixture->scratch);
    do {
        fixture->port = (guint16)g_random_int_range(20000, 32000);
    } while (!open_servers(fixture, fixture->port));
    use_servers(fixture, "0 1", "");
    scratch_write(&fixture->scratch, "hosts", "192.0.2.5 five five.example\n2001:db8::5 five\n");
    fixture->resolv_conf = scratch_path(&fixture->scratch, "resolv.conf");
    fixture->hosts = scratch_path(&fixture->scratch, "hosts");
    const DinvDnsForwarderOptions options = {.resolv_conf = fixture->resolv_conf,
                                             .hosts = fixture->hosts,
                                             .gateway = "10.0.2.2",
                                             .changed = on_changed,
                                             .user = fixture,
                                             .server_port = fixture->port,
                                             .step_ms = STEP_MS};
    g_autoptr(GError) error = NULL;
    fixture->forwarder = dinv_dns_forwarder_new(&options, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_dns_forwarder_free(fixture->forwarder);
    for (guint i = 0; i < SERVERS; i++) {
        close_server(&fixture->servers[i]);
        g_byte_array_unref(fixture->servers[i].last);
    }
    /* Connections of the servers see the end of the other side. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_free(fixture->resolv_conf);
    g_free(fixture->hosts);
    g_free(fixture->search);
    scratch_remove(&fixture->scratch);
}

/* --- The client --- */

static int connect_client(const Fixture *fixture, int type) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port =
                                            htons(dinv_dns_forwarder_get_port(fixture->forwarder)),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(connect(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_true(g_unix_set_fd_nonblocking(fd, TRUE, NULL));
    return fd;
}

/* A query of type A (or AAAA), with bytes of EDNS behind it that are to arrive as they are. */
static GByteArray *make_query(const char *name, guint8 type) {
    static const guint8 header[] = {0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1};
    static const guint8 edns[] = {0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0};
    const guint8 end[] = {0, 0, type, 0, 1};
    GByteArray *query = g_byte_array_new();
    g_byte_array_append(query, header, sizeof header);
    g_auto(GStrv) labels = g_strsplit(name, ".", -1);
    for (guint i = 0; labels[i] != NULL; i++) {
        const guint8 len = (guint8)strlen(labels[i]);
        g_byte_array_append(query, &len, 1);
        g_byte_array_append(query, (const guint8 *)labels[i], len);
    }
    g_byte_array_append(query, end, sizeof end);
    g_byte_array_append(query, edns, sizeof edns);
    return query;
}

typedef struct {
    guint8 bytes[4096];
    gsize len;
} Reply;

static gboolean take_datagram(int fd, Reply *reply) {
    ssize_t len = recv(fd, reply->bytes, sizeof reply->bytes, 0);
    reply->len = len > 0 ? (gsize)len : 0;
    return len > 0;
}

/* Asks by datagram and waits for the answer. */
static void ask(const Fixture *fixture, const char *name, guint8 type, Reply *reply) {
    g_autoptr(GByteArray) query = make_query(name, type);
    int fd = connect_client(fixture, SOCK_DGRAM);
    g_assert_cmpint(send(fd, query->data, query->len, 0), ==, (ssize_t)query->len);
    wait_until(take_datagram(fd, reply));
    assert_same(reply->bytes, 2, query->data, 2);
    close(fd);
}

/* The number of the server that answered; -1 with an error code in the reply. */
static int ask_who(const Fixture *fixture, const char *name) {
    Reply reply;
    ask(fixture, name, DINV_DNS_TYPE_A, &reply);
    return dinv_dns_get_code(reply.bytes) == DINV_DNS_NO_ERROR ? reply.bytes[reply.len - 1] : -1;
}

static gsize count_descriptors(void) {
    g_autoptr(GDir) directory = g_dir_open("/proc/self/fd", 0, NULL);
    gsize count = 0;
    while (g_dir_read_name(directory) != NULL) {
        count++;
    }
    return count;
}

/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A Request is a query of the guest on its way to the outer resolvers, over
 * the transport that it came by: a client that got a truncated answer asks again over TCP. A
 * Connection is a TCP client; it has one Request at a time, and is closed when it says nothing for
 * a while. Both are counted, so that a guest which asks without end costs no more than their
 * maximum (DINV_DNS_SERVERS_MAX descriptors for each Request): datagrams beyond it are dropped,
 * connections wait in the kernel's queue.
 *
 * A resolver that was silent while another answered is not waited for again for a while: then the
 * other one is asked first.
 */
#include "launcher/dns/forwarder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/file-watch.h"
#include "launcher/base/listener.h"
#include "launcher/dns/message.h"
#include "launcher/dns/query.h"
#include "launcher/dns/stream.h"

/* Docker's own resolver, for containers on a network, waits 4 s for us: time for two that are
 * silent. */
#define STEP_MS 1500u
#define BEST_US (30 * (gint64)G_USEC_PER_SEC)
#define IDLE_MS 10000u
/* Above the ports that kernels give out by themselves, which Docker takes for "-p 80", too: none
 * that is likely to be published. */
#define PORT_LOWEST   61000
#define BIND_ATTEMPTS 64

typedef struct {
    DinvDnsForwarder *forwarder;
    DinvDnsStream stream;
    guint source;
    guint idle_source;
} Connection;

typedef struct {
    DinvDnsForwarder *forwarder;
    Connection *connection; /* NULL: a datagram, of `client` */
    struct sockaddr_in client;
    DinvDnsQuery *query;
    guint generation;               /* of the files that it was asked by */
    guint first;                    /* the server that it began with */
    guint8 head[DINV_DNS_HEAD_MAX]; /* header and question, for the answer that there is none */
    gsize head_len;
} Request;

struct DinvDnsForwarder {
    char *resolv_conf;
    char *hosts;
    void (*changed)(const DinvDnsResolverFiles *files, gpointer user);
    gpointer user;
    guint16 server_port;
    guint step_ms;
    DinvDnsResolverFiles *files;
    guint generation;               /* of `files` */
    struct stat resolv_conf_status; /* what they were read from */
    struct stat hosts_status;
    DinvFileWatch *watch;
    guint best; /* the server to begin with, until then */
    gint64 best_until_us;
    GPtrArray *own_addresses; /* of GInetAddress: the gateway */
    int datagram_fd;
    DinvListener *listener; /* pauses while there are as many connections as may be */
    guint16 port;
    guint datagram_source;
    GHashTable *requests;
    GHashTable *connections;
};

const char *const dinv_dns_own_names[DINV_DNS_OWN_NAMES] = {"host.docker.internal",
                                                            "gateway.docker.internal"};

/* --- Files --- */

static gboolean has_changed(const char *path, struct stat *known) {
    struct stat now = {0}; /* also of a missing file */
    (void)stat(path, &now);
    gboolean same = now.st_dev == known->st_dev && now.st_ino == known->st_ino &&
                    now.st_size == known->st_size && now.st_mtim.tv_sec == known->st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == known->st_mtim.tv_nsec;
    *known = now;
    return !same;
}

static void dns_refresh(DinvDnsForwarder *forwarder) {
    gboolean names = has_changed(forwarder->hosts, &forwarder->hosts_status);
    gboolean servers = has_changed(forwarder->resolv_conf, &forwarder->resolv_conf_status);
    if (forwarder->files != NULL && !names && !servers) {
        return;
    }
    g_autoptr(DinvDnsResolverFiles) before = g_steal_pointer(&forwarder->files);
    forwarder->generation++;
    forwarder->best = 0;
    dinv_file_watch_renew(forwarder->watch);
    forwarder->files = dinv_dns_resolver_files_read(forwarder->resolv_conf, forwarder->hosts,
                                                    forwarder->server_port);
    if (before != NULL && forwarder->changed != NULL &&
        (!g_strv_equal((const char *const *)before->search,
                       (const char *const *)forwarder->files->search) ||
         !g_strv_equal((const char *const *)before->options,
                       (const char *const *)forwarder->files->options))) {
        forwarder->changed(forwarder->files, forwarder->user);
    }
}

/* Each query looks at the files, too, so that one right after a change is answered by them. But the
 * guest must know of new search domains before it asks at all. */
static void dns_on_files_changed(guint index G_GNUC_UNUSED, gpointer user) {
    dns_refresh(user);
}

/* The addresses that are answered with; NULL: the outer resolvers are to be asked. */
static const GPtrArray *find_addresses(DinvDnsForwarder *forwarder,
                                       const DinvDnsQuestion *question) {
    if (question->class != DINV_DNS_CLASS_IN) {
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(dinv_dns_own_names); i++) {
        if (strcmp(question->name, dinv_dns_own_names[i]) == 0) {
            return forwarder->own_addresses;
        }
    }
    if (question->type != DINV_DNS_TYPE_A && question->type != DINV_DNS_TYPE_AAAA) {
        return NULL; /* a hosts file knows addresses only */
    }
    return g_hash_table_lookup(forwarder->files->hosts, question->name);
}

/* --- Requests --- */

static void dns_connection_watch(Connection *connection, GIOCondition condition);
static void dns_connection_free(gpointer data);

static void dns_request_free(gpointer data) {
    Request *request = data;
    dinv_dns_query_free(request->query);
    g_free(request);
}

static void send_reply(DinvDnsForwarder *forwarder, Connection *connection,
                       const struct sockaddr_in *client, const guint8 *reply, gsize len) {
    if (connection != NULL) {
        dinv_dns_stream_put(&connection->stream, reply, len);
        dns_connection_watch(connection, G_IO_OUT);
    } else {
        (void)sendto(forwarder->datagram_fd, reply, len, MSG_NOSIGNAL,
                     (const struct sockaddr *)client, sizeof *client);
    }
}

/* Remembers the server that answered, unless the files, or the order in which servers are asked,
 * are others by now. */
static void remember_best(const Request *request) {
    DinvDnsForwarder *forwarder = request->forwarder;
    guint best = dinv_dns_query_get_best(request->query);
    if (request->generation == forwarder->generation && request->first == forwarder->best &&
        best != forwarder->best) {
        forwarder->best = best;
        forwarder->best_until_us = g_get_monotonic_time() + BEST_US;
    }
}

static void send_bytes(DinvDnsForwarder *forwarder, Connection *connection,
                       const struct sockaddr_in *client, GBytes *bytes) {
    gsize len;
    const guint8 *reply = g_bytes_get_data(bytes, &len);
    send_reply(forwarder, connection, client, reply, len);
}

static void dns_request_on_reply(const guint8 *reply, gsize len, gpointer user) {
    Request *request = user;
    if (reply != NULL) {
        remember_best(request);
        send_reply(request->forwarder, request->connection, &request->client, reply, len);
    } else {
        g_autoptr(GBytes) failure =
            dinv_dns_make_failure(request->head, request->head_len, DINV_DNS_SERVFAIL);
        send_bytes(request->forwarder, request->connection, &request->client, failure);
    }
    g_hash_table_remove(request->forwarder->requests, request);
}

static void ask_servers(DinvDnsForwarder *forwarder, Connection *connection,
                        const struct sockaddr_in *client, const guint8 *message, gsize len,
                        gsize question_end) {
    if (forwarder->best != 0 && g_get_monotonic_time() > forwarder->best_until_us) {
        forwarder->best = 0;
    }
    Request *request = g_new0(Request, 1);
    const DinvDnsQueryOptions options = {.servers = forwarder->files->servers,
                                         .first = forwarder->best,
                                         .over_tcp = connection != NULL,
                                         .step_ms = forwarder->step_ms,
                                         .callback = dns_request_on_reply,
                                         .user = request};
    request->forwarder = forwarder;
    request->connection = connection;
    if (client != NULL) {
        request->client = *client;
    }
    request->generation = forwarder->generation;
    request->first = forwarder->best;
    memcpy(request->head, message, question_end);
    request->head_len = question_end;
    request->query = dinv_dns_query_new(message, len, question_end, &options);
    g_hash_table_add(forwarder->requests, request);
}

/* Answers a query, or begins to; its bytes are untrusted. FALSE if that was no query. */
static gboolean take_query(DinvDnsForwarder *forwarder, Connection *connection,
                           const struct sockaddr_in *client, const guint8 *message, gsize len) {
    DinvDnsQuestion question = {.end = DINV_DNS_HEADER};
    int code = dinv_dns_check_query(message, len, &question);
    if (code < 0) {
        return FALSE;
    }
    if (code != DINV_DNS_NO_ERROR) {
        g_autoptr(GBytes) failure = dinv_dns_make_failure(message, question.end, (guint)code);
        send_bytes(forwarder, connection, client, failure);
        return TRUE;
    }
    dns_refresh(forwarder);
    const GPtrArray *addresses = find_addresses(forwarder, &question);
    if (addresses != NULL) {
        g_autoptr(GBytes) answer = dinv_dns_make_answer(message, &question, addresses);
        send_bytes(forwarder, connection, client, answer);
    } else if (connection != NULL ||
               g_hash_table_size(forwarder->requests) < DINV_DNS_REQUESTS_MAX) {
        ask_servers(forwarder, connection, client, message, len, question.end);
    } /* else the client will ask again */
    return TRUE;
}

static gboolean dns_on_datagram(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    DinvDnsForwarder *forwarder = user;
    guint8 message[DINV_DNS_MESSAGE_MAX];
    struct sockaddr_in client = {0};
    socklen_t client_len = sizeof client;
    ssize_t len = recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&client, &client_len);
    if (len > 0) {
        (void)take_query(forwarder, NULL, &client, message, (gsize)len);
    }
    return G_SOURCE_CONTINUE;
}

/* --- Connections --- */

static void dns_on_accepted(int fd, gpointer user);

static void dns_connection_close(Connection *connection) {
    DinvDnsForwarder *forwarder = connection->forwarder;
    g_hash_table_remove(forwarder->connections, connection);
    dinv_listener_accept_to(forwarder->listener, dns_on_accepted, forwarder);
}

static gboolean dns_connection_on_idle(gpointer user) {
    Connection *connection = user;
    connection->idle_source = 0;
    dns_connection_close(connection);
    return G_SOURCE_REMOVE;
}

static gboolean dns_connection_on_ready(int fd G_GNUC_UNUSED, GIOCondition condition,
                                        gpointer user) {
    Connection *connection = user;
    DinvDnsProgress progress = (condition & G_IO_OUT) != 0
                                   ? dinv_dns_stream_write(&connection->stream)
                                   : dinv_dns_stream_read(&connection->stream);
    if (progress == DINV_DNS_STREAM_AGAIN) {
        return G_SOURCE_CONTINUE;
    }
    if (progress == DINV_DNS_STREAM_FAILED) {
        dns_connection_close(connection);
        return G_SOURCE_CONTINUE;
    }
    if ((condition & G_IO_OUT) != 0) {
        dns_connection_watch(connection, G_IO_IN);
        return G_SOURCE_CONTINUE;
    }
    /* Not watched while its query is under way, which ends by itself. */
    dns_connection_watch(connection, 0);
    gsize len;
    const guint8 *message = dinv_dns_stream_get(&connection->stream, &len);
    if (!take_query(connection->forwarder, connection, NULL, message, len)) {
        dns_connection_close(connection);
    }
    return G_SOURCE_CONTINUE;
}

/* Waits for `condition`, for no longer than a client may be silent; 0: not at all. */
static void dns_connection_watch(Connection *connection, GIOCondition condition) {
    g_clear_handle_id(&connection->source, g_source_remove);
    g_clear_handle_id(&connection->idle_source, g_source_remove);
    if (condition != 0) {
        connection->source =
            g_unix_fd_add(connection->stream.fd, condition, dns_connection_on_ready, connection);
        connection->idle_source = g_timeout_add(IDLE_MS, dns_connection_on_idle, connection);
    }
}

static void dns_connection_free(gpointer data) {
    Connection *connection = data;
    dns_connection_watch(connection, 0);
    dinv_dns_stream_clear(&connection->stream);
    g_free(connection);
}

static void dns_on_accepted(int fd, gpointer user) {
    DinvDnsForwarder *forwarder = user;
    Connection *connection = g_new0(Connection, 1);
    connection->forwarder = forwarder;
    dinv_dns_stream_init(&connection->stream, fd);
    g_hash_table_add(forwarder->connections, connection);
    dns_connection_watch(connection, G_IO_IN);
    if (g_hash_table_size(forwarder->connections) >= DINV_DNS_CONNECTIONS_MAX) {
        dinv_listener_pause(forwarder->listener);
    }
}

/* --- The whole --- */

/* A socket on the loopback; -1 with errno. */
static int bind_datagram_socket(guint16 port) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = errno;
        (void)close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

static gboolean bind_at(DinvDnsForwarder *forwarder, guint16 port, GError **error) {
    const DinvTcpAddress address = {.host = "127.0.0.1", .port = port};
    forwarder->datagram_fd = bind_datagram_socket(port);
    if (forwarder->datagram_fd < 0) {
        int code = errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot listen on udp://127.0.0.1:%u: %s", (guint)port, g_strerror(code));
        return FALSE;
    }
    forwarder->listener = dinv_listener_new_tcp(&address, error);
    if (forwarder->listener == NULL) {
        (void)close(forwarder->datagram_fd);
        forwarder->datagram_fd = -1;
        return FALSE;
    }
    forwarder->port = port;
    return TRUE;
}

/* Binds the same port for datagrams and connections. */
static gboolean bind_both(DinvDnsForwarder *forwarder, GError **error) {
    for (int i = 0;; i++) {
        g_autoptr(GError) failure = NULL;
        if (bind_at(forwarder, (guint16)g_random_int_range(PORT_LOWEST, 65536), &failure)) {
            return TRUE;
        }
        if (i == BIND_ATTEMPTS ||
            !g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE)) {
            g_propagate_prefixed_error(error, g_steal_pointer(&failure), "DNS queries: ");
            return FALSE;
        }
    }
}

DinvDnsForwarder *dinv_dns_forwarder_new(const DinvDnsForwarderOptions *options, GError **error) {
    g_autoptr(DinvDnsForwarder) forwarder = g_new0(DinvDnsForwarder, 1);
    forwarder->datagram_fd = -1;
    forwarder->resolv_conf = g_strdup(options->resolv_conf);
    forwarder->hosts = g_strdup(options->hosts);
    forwarder->changed = options->changed;
    forwarder->user = options->user;
    forwarder->server_port = options->server_port != 0 ? options->server_port : DINV_DNS_PORT;
    forwarder->step_ms = options->step_ms != 0 ? options->step_ms : STEP_MS;
    forwarder->own_addresses = g_ptr_array_new_with_free_func(g_object_unref);
    g_ptr_array_add(forwarder->own_addresses, g_inet_address_new_from_string(options->gateway));
    forwarder->requests = g_hash_table_new_full(NULL, NULL, dns_request_free, NULL);
    forwarder->connections = g_hash_table_new_full(NULL, NULL, dns_connection_free, NULL);
    if (!bind_both(forwarder, error)) {
        return NULL;
    }
    const char *const paths[] = {forwarder->resolv_conf, forwarder->hosts, NULL};
    forwarder->watch = dinv_file_watch_new(paths, dns_on_files_changed, forwarder);
    dns_refresh(forwarder);
    forwarder->datagram_source =
        g_unix_fd_add(forwarder->datagram_fd, G_IO_IN, dns_on_datagram, forwarder);
    dinv_listener_accept_to(forwarder->listener, dns_on_accepted, forwarder);
    return g_steal_pointer(&forwarder);
}

void dinv_dns_forwarder_free(DinvDnsForwarder *forwarder) {
    if (forwarder == NULL) {
        return;
    }
    g_clear_handle_id(&forwarder->datagram_source, g_source_remove);
    g_hash_table_unref(forwarder->requests);
    g_hash_table_unref(forwarder->connections);
    if (forwarder->datagram_fd >= 0) {
        (void)close(forwarder->datagram_fd);
    }
    dinv_listener_free(forwarder->listener);
    dinv_file_watch_free(forwarder->watch);
    g_ptr_array_unref(forwarder->own_addresses);
    dinv_dns_resolver_files_free(forwarder->files);
    g_free(forwarder->resolv_conf);
    g_free(forwarder->hosts);
    g_free(forwarder);
}

guint16 dinv_dns_forwarder_get_port(const DinvDnsForwarder *forwarder) {
    return forwarder->port;
}

const DinvDnsResolverFiles *dinv_dns_forwarder_get_files(const DinvDnsForwarder *forwarder) {
    return forwarder->files;
}

/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. An attempt is one socket, connected to one server, so that the kernel takes
 * only what comes from there. A step starts the next attempt; earlier ones stay open until the
 * query ends, as a slow answer is better than none. An attempt that fails (refused, reset,
 * SERVFAIL) makes the next step come at once. When all servers have been asked, the silent ones are
 * asked once more, for datagrams get lost, and some steps later the query ends.
 */
#include "launcher/dns/query.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/dns/message.h"
#include "launcher/dns/stream.h"

/* What the servers have to answer after they were asked for the last time. */
#define LAST_STEPS 3u

typedef struct {
    DinvDnsQuery *query;
    DinvDnsStream stream; /* in use for TCP */
    int fd;               /* -1: over */
    gboolean declined;    /* it answered, with a failure */
    guint source;
} Attempt;

struct DinvDnsQuery {
    GBytes *message;
    gsize question_end;
    DinvDnsQueryOptions options;
    Attempt attempts[DINV_DNS_SERVERS_MAX];
    guint count; /* of attempts that were started */
    guint best;
    gboolean repeated; /* the silent ones were asked once more */
    guint step_source;
    GBytes *failure; /* the first answer that says so; NULL: none */
};

static const guint8 *get_message(const DinvDnsQuery *query, gsize *len) {
    return g_bytes_get_data(query->message, len);
}

static guint get_server(const DinvDnsQuery *query, guint attempt) {
    return (query->options.first + attempt) % query->options.servers->len;
}

static void attempt_end(Attempt *attempt) {
    if (attempt->fd < 0) {
        return;
    }
    g_clear_handle_id(&attempt->source, g_source_remove);
    if (attempt->query->options.over_tcp) {
        dinv_dns_stream_clear(&attempt->stream);
    } else {
        (void)close(attempt->fd);
    }
    attempt->fd = -1;
}

/* The query may be freed when this returns. */
static void query_finish(DinvDnsQuery *query, const guint8 *reply, gsize len) {
    g_clear_handle_id(&query->step_source, g_source_remove);
    query->options.callback(reply, len, query->options.user);
}

static gboolean query_on_step(gpointer user);

static void query_set_step(DinvDnsQuery *query, guint after_ms) {
    g_clear_handle_id(&query->step_source, g_source_remove);
    query->step_source = g_timeout_add(after_ms, query_on_step, query);
}

static gboolean is_any_open(const DinvDnsQuery *query) {
    for (guint i = 0; i < query->count; i++) {
        if (query->attempts[i].fd >= 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* The next server at once, or the end if there is nobody left to wait for. */
static void attempt_fail(Attempt *attempt) {
    DinvDnsQuery *query = attempt->query;
    attempt_end(attempt);
    if (query->count < query->options.servers->len || !is_any_open(query)) {
        query_set_step(query, 0);
    }
}

/* The query may be freed when this returns. */
static void attempt_take_reply(Attempt *attempt, const guint8 *reply, gsize len) {
    DinvDnsQuery *query = attempt->query;
    guint code = dinv_dns_get_code(reply);
    if (code != DINV_DNS_SERVFAIL && code != DINV_DNS_REFUSED) {
        if (attempt != &query->attempts[0] && !query->attempts[0].declined) {
            query->best = get_server(query, (guint)(attempt - query->attempts));
        }
        query_finish(query, reply, len);
        return;
    }
    if (query->failure == NULL && dinv_dns_has_question(reply)) {
        query->failure = g_bytes_new(reply, len);
    }
    attempt->declined = TRUE;
    attempt_fail(attempt);
}

static gboolean is_reply(const Attempt *attempt, const guint8 *reply, gsize len) {
    gsize message_len;
    const guint8 *message = get_message(attempt->query, &message_len);
    return dinv_dns_is_reply_to(reply, len, message, attempt->query->question_end);
}

static gboolean attempt_on_datagram(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer user) {
    Attempt *attempt = user;
    guint8 reply[DINV_DNS_MESSAGE_MAX];
    ssize_t count = recv(fd, reply, sizeof reply, 0);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            attempt_fail(attempt); /* nobody listens there */
        }
    } else if (is_reply(attempt, reply, (gsize)count)) {
        attempt_take_reply(attempt, reply, (gsize)count);
    }
    return G_SOURCE_CONTINUE; /* has no effect on a source that was removed */
}

static gboolean attempt_on_stream(int fd, GIOCondition condition, gpointer user) {
    Attempt *attempt = user;
    if ((condition & G_IO_OUT) != 0) {
        DinvDnsProgress written = dinv_dns_stream_write(&attempt->stream);
        if (written == DINV_DNS_STREAM_AGAIN) {
            return G_SOURCE_CONTINUE;
        }
        if (written == DINV_DNS_STREAM_DONE) {
            attempt->source = g_unix_fd_add(fd, G_IO_IN, attempt_on_stream, attempt);
            return G_SOURCE_REMOVE;
        }
    } else {
        DinvDnsProgress progress = dinv_dns_stream_read(&attempt->stream);
        if (progress == DINV_DNS_STREAM_AGAIN) {
            return G_SOURCE_CONTINUE;
        }
        if (progress == DINV_DNS_STREAM_DONE) {
            gsize len;
            const guint8 *reply = dinv_dns_stream_get(&attempt->stream, &len);
            if (is_reply(attempt, reply, len)) {
                attempt_take_reply(attempt, reply, len);
                return G_SOURCE_CONTINUE;
            }
        }
    }
    attempt_fail(attempt);
    return G_SOURCE_CONTINUE;
}

/* A connected socket, for TCP perhaps still on its way; -1 if that cannot be. */
static int open_socket(GSocketAddress *server, gboolean over_tcp) {
    struct sockaddr_storage address = {0};
    gssize size = g_socket_address_get_native_size(server);
    if (!g_socket_address_to_native(server, &address, sizeof address, NULL)) {
        return -1;
    }
    int type = over_tcp ? SOCK_STREAM : SOCK_DGRAM;
    int fd = socket(address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, (socklen_t)size) < 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Sends the message as a datagram. */
static void attempt_send_message(Attempt *attempt) {
    gsize len;
    const guint8 *message = get_message(attempt->query, &len);
    if (send(attempt->fd, message, len, 0) < 0 && errno != EAGAIN) {
        attempt_fail(attempt);
    }
}

static void attempt_start(DinvDnsQuery *query) {
    Attempt *attempt = &query->attempts[query->count];
    GSocketAddress *server =
        g_ptr_array_index(query->options.servers, get_server(query, query->count));
    query->count++;
    attempt->query = query;
    attempt->fd = open_socket(server, query->options.over_tcp);
    if (attempt->fd < 0) {
        attempt_fail(attempt);
    } else if (query->options.over_tcp) {
        gsize len;
        const guint8 *message = get_message(query, &len);
        dinv_dns_stream_init(&attempt->stream, attempt->fd);
        dinv_dns_stream_put(&attempt->stream, message, len);
        attempt->source = g_unix_fd_add(attempt->fd, G_IO_OUT, attempt_on_stream, attempt);
    } else {
        attempt->source = g_unix_fd_add(attempt->fd, G_IO_IN, attempt_on_datagram, attempt);
        attempt_send_message(attempt);
    }
}

/* Asks those once more that have not answered; TCP does so by itself. */
static void query_repeat(DinvDnsQuery *query) {
    query->repeated = TRUE;
    for (guint i = 0; i < query->count && !query->options.over_tcp; i++) {
        if (query->attempts[i].fd >= 0) {
            attempt_send_message(&query->attempts[i]);
        }
    }
}

static gboolean query_on_step(gpointer user) {
    DinvDnsQuery *query = user;
    query->step_source = 0;
    /* What follows query_set_step() may make the next step come sooner. */
    if (query->count < query->options.servers->len) {
        query_set_step(query, query->options.step_ms);
        attempt_start(query);
    } else if (is_any_open(query) && !query->repeated) {
        query_set_step(query, LAST_STEPS * query->options.step_ms);
        query_repeat(query);
    } else {
        gsize len = 0;
        const guint8 *failure =
            query->failure != NULL ? g_bytes_get_data(query->failure, &len) : NULL;
        query_finish(query, failure, len);
    }
    return G_SOURCE_REMOVE;
}

DinvDnsQuery *dinv_dns_query_new(const guint8 *message, gsize len, gsize question_end,
                                 const DinvDnsQueryOptions *options) {
    DinvDnsQuery *query = g_new0(DinvDnsQuery, 1);
    query->message = g_bytes_new(message, len);
    query->question_end = question_end;
    query->options = *options;
    g_ptr_array_ref(query->options.servers);
    query->best = options->first;
    query_set_step(query, 0);
    return query;
}

guint dinv_dns_query_get_best(const DinvDnsQuery *query) {
    return query->best;
}

void dinv_dns_query_free(DinvDnsQuery *query) {
    if (query == NULL) {
        return;
    }
    g_clear_handle_id(&query->step_source, g_source_remove);
    for (guint i = 0; i < query->count; i++) {
        attempt_end(&query->attempts[i]);
    }
    g_clear_pointer(&query->failure, g_bytes_unref);
    g_bytes_unref(query->message);
    g_ptr_array_unref(query->options.servers);
    g_free(query);
}

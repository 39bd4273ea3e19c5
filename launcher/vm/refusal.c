/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The docker CLI asks for /_ping before its own request, on a connection of
 * its own if the first one is closed; so the socket stays open for as long as somebody comes. Of a
 * request its head is awaited, so that a client that still writes is not cut off, and what follows
 * is thrown away until the client closes or its time is over.
 */
#include "launcher/vm/refusal.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_US   (300 * (gint64)1000)
#define AT_MOST_US (3 * (gint64)G_USEC_PER_SEC)
#define HEAD_BYTES 4096u

typedef struct {
    char *answer; /* all of it */
    gsize head;   /* bytes of it that a HEAD request gets */
    guint clients;
    gint64 last_us; /* when the last client came or had its answer */
    GQueue open;    /* of Client* */
} Refusal;

typedef struct {
    Refusal *refusal;
    int fd;
    guint source;
    gboolean answered;
    gsize length;
    char request[HEAD_BYTES + 1];
} Client;

static void client_free(Client *client) {
    g_queue_remove(&client->refusal->open, client);
    g_clear_handle_id(&client->source, g_source_remove);
    (void)close(client->fd);
    g_free(client);
}

static void answer(Client *client) {
    Refusal *refusal = client->refusal;
    gsize length =
        g_str_has_prefix(client->request, "HEAD ") ? refusal->head : strlen(refusal->answer);
    /* It fits into the empty buffer of the socket, or is lost. */
    (void)send(client->fd, refusal->answer, length, MSG_NOSIGNAL);
    (void)shutdown(client->fd, SHUT_WR);
    client->answered = TRUE;
    refusal->last_us = g_get_monotonic_time();
}

static gboolean refusal_on_readable(int fd, GIOCondition condition, gpointer user) {
    Client *client = user;
    (void)condition;
    gsize room = client->answered ? HEAD_BYTES : HEAD_BYTES - client->length;
    char *place = client->answered ? client->request : client->request + client->length;
    ssize_t got = recv(fd, place, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (got <= 0) {
        client->source = 0;
        client_free(client);
        return G_SOURCE_REMOVE;
    }
    if (!client->answered) {
        client->length += (gsize)got;
        client->request[client->length] = '\0';
        if (strstr(client->request, "\r\n\r\n") != NULL || client->length == HEAD_BYTES) {
            answer(client);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void refusal_on_client(int fd, gpointer user) {
    Refusal *refusal = user;
    Client *client = g_new0(Client, 1);
    client->refusal = refusal;
    client->fd = fd;
    client->source = g_unix_fd_add(fd, G_IO_IN, refusal_on_readable, client);
    g_queue_push_tail(&refusal->open, client);
    refusal->clients++;
    refusal->last_us = g_get_monotonic_time();
}

static char *make_answer(const char *reason, gsize *head) {
    struct json_object *object = json_object_new_object();
    g_autofree char *text = g_strconcat("dinv: ", reason, NULL);
    json_object_object_add(object, "message", json_object_new_string(text));
    g_autofree char *body =
        g_strconcat(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                               JSON_C_TO_STRING_NOSLASHESCAPE),
                    "\n", NULL);
    json_object_put(object);
    g_autofree char *start =
        g_strdup_printf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                        "Connection: close\r\nContent-Length: %zu\r\n\r\n",
                        strlen(body));
    *head = strlen(start);
    return g_strconcat(start, body, NULL);
}

static gboolean refusal_on_tick(gpointer user) {
    (void)user;
    return G_SOURCE_CONTINUE;
}

void dinv_vm_refuse_clients(DinvVmEndpoints *endpoints, const char *reason) {
    Refusal refusal = {.last_us = g_get_monotonic_time()};
    gint64 until_us = refusal.last_us + AT_MOST_US;
    refusal.answer = make_answer(reason, &refusal.head);
    g_queue_init(&refusal.open);
    dinv_vm_endpoints_serve(endpoints, refusal_on_client, &refusal);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    guint tick = g_timeout_add(QUIET_US / 1000 / 10, refusal_on_tick, NULL);
    for (gint64 now_us = refusal.last_us;
         refusal.clients > 0 && now_us < until_us && now_us < refusal.last_us + QUIET_US;
         now_us = g_get_monotonic_time()) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(tick);
    dinv_vm_endpoints_stop_listening(endpoints);
    while (refusal.open.head != NULL) {
        client_free(refusal.open.head->data);
    }
    g_free(refusal.answer);
}

/* SPDX-License-Identifier: MIT */
/*
 * A client has one request, and one answer. Its connection is read until the line is whole, then
 * written to until the answer has gone; after `exec` and `log` the relay goes on with it.
 */
#include "launcher/vm/launcher-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/listener.h"
#include "launcher/network/publisher.h"
#include "launcher/state/launcher-socket.h"

/* For the request to come, and again for the answer to be taken. */
#define CLIENT_TIMEOUT_MS 5000u
#define CLIENTS_MAX       64u

struct DinvVmLauncherSocket {
    DinvVm *vm;
    DinvListener *listener;
    GHashTable *clients; /* Client*, as a set */
};

/* A connection until its request is answered or its stream taken over by the relay. */
typedef struct {
    DinvVmLauncherSocket *server;
    int fd;
    guint source; /* reads the request, then writes the answer */
    guint timeout_source;
    GString *request;
    GString *answer;
    gsize answer_sent;
    struct ForwardsCall *forwards_call; /* waits for dinv-usernet's answer */
} Client;

/* Outlives a client that ends before dinv-usernet answers. */
typedef struct ForwardsCall {
    Client *client;
} ForwardsCall;

static void client_end(Client *client) {
    g_hash_table_remove(client->server->clients, client);
    if (client->forwards_call != NULL) {
        client->forwards_call->client = NULL;
    }
    g_clear_handle_id(&client->source, g_source_remove);
    g_clear_handle_id(&client->timeout_source, g_source_remove);
    (void)close(client->fd);
    g_string_free(client->request, TRUE);
    g_string_free(client->answer, TRUE);
    g_free(client);
}

static gboolean client_on_timeout(gpointer user) {
    Client *client = user;
    client->timeout_source = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

/* TRUE as long as there is more to send, to somebody who takes it. */
static gboolean client_send(Client *client) {
    ssize_t sent = send(client->fd, client->answer->str + client->answer_sent,
                        client->answer->len - client->answer_sent, MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    client->answer_sent += (gsize)sent;
    return client->answer_sent < client->answer->len;
}

static gboolean client_on_writable(int fd, GIOCondition condition, gpointer user) {
    Client *client = user;
    (void)fd;
    (void)condition;
    if (client_send(client)) {
        return G_SOURCE_CONTINUE;
    }
    client->source = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

/* Sends the answer and ends the client, now or when it has taken all: the caller does nothing more
 * with it. */
static void client_answer(Client *client, struct json_object *answer) {
    g_string_assign(client->answer, json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    g_string_append_c(client->answer, '\n');
    if (!client_send(client)) {
        client_end(client);
        return;
    }
    client->source = g_unix_fd_add(client->fd, G_IO_OUT, client_on_writable, client);
    client->timeout_source = g_timeout_add(CLIENT_TIMEOUT_MS, client_on_timeout, client);
}

static void client_refuse(Client *client, const char *text) {
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "error", json_object_new_string(text));
    client_answer(client, answer);
    json_object_put(answer);
}

static void client_on_status(struct json_object *status, gpointer user) {
    client_answer(user, status);
}

static void client_on_forwards(GObject *source, GAsyncResult *result, gpointer user) {
    ForwardsCall *call = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    g_autoptr(GArray) forwards = dinv_network_usernet_list_finish(result, &error);
    if (call->client != NULL) {
        call->client->forwards_call = NULL;
        if (forwards == NULL) {
            client_refuse(call->client, error->message);
        } else {
            struct json_object *answer = json_object_new_object();
            json_object_object_add(answer, "forwards",
                                   dinv_network_publisher_describe_list(forwards));
            client_answer(call->client, answer);
            json_object_put(answer);
        }
    }
    g_free(call);
}

static void client_serve_forwards(Client *client) {
    DinvNetworkUsernet *usernet = dinv_vm_get_usernet(client->server->vm);
    if (usernet == NULL) {
        client_refuse(client, "the machine does not run");
        return;
    }
    client->forwards_call = g_new0(ForwardsCall, 1);
    client->forwards_call->client = client;
    dinv_network_usernet_list(usernet, client_on_forwards, client->forwards_call);
}

/* Joins the client's connection to a stream; our own descriptor of it is only for the answer, which
 * goes out before the loop can move a byte of the stream. */
static gboolean client_bridge(Client *client, DinvVmRelay *relay, const char *service,
                              const char *text, GError **error) {
    int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "no relay stream to the guest's service \"%s\": %s", service,
                    g_strerror(errno));
        return FALSE;
    }
    return dinv_vm_relay_bridge(relay, service, text, strlen(text), fd, error);
}

static void client_serve_bridge(Client *client, const char *service, struct json_object *request) {
    DinvVmRelay *relay = dinv_vm_get_relay(client->server->vm);
    if (relay == NULL) {
        client_refuse(client, "the engine is not ready yet (see \"dinv status\")");
        return;
    }
    struct json_object *argument = NULL;
    json_object_object_get_ex(request, "argument", &argument);
    const char *text =
        argument != NULL ? json_object_to_json_string_ext(argument, JSON_C_TO_STRING_PLAIN) : "{}";
    if (strlen(text) > DINV_RELAY_ARGUMENT_MAX) {
        client_refuse(client, "the command and its environment are too long (32 KiB at most)");
        return;
    }
    g_autoptr(GError) error = NULL;
    if (!client_bridge(client, relay, service, text, &error)) {
        client_refuse(client, error->message);
        return;
    }
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "ok", json_object_new_boolean(TRUE));
    client_answer(client, answer);
    json_object_put(answer);
}

/* The request, which is untrusted, is whole; the client is answered now or, with what the vm or the
 * machine is asked for, later. */
static void client_serve(Client *client) {
    struct json_object *request = dinv_json_text_parse(client->request->str, client->request->len,
                                                       DINV_STATE_LAUNCHER_JSON_DEPTH);
    struct json_object *verb = NULL;
    const char *name = json_object_is_type(request, json_type_object) &&
                               json_object_object_get_ex(request, "verb", &verb) &&
                               json_object_is_type(verb, json_type_string)
                           ? json_object_get_string(verb)
                           : "";
    if (strcmp(name, DINV_STATE_LAUNCHER_VERB_STATUS) == 0) {
        dinv_vm_get_status(client->server->vm, client_on_status, client);
    } else if (strcmp(name, DINV_STATE_LAUNCHER_VERB_FORWARDS) == 0) {
        client_serve_forwards(client);
    } else if (strcmp(name, DINV_STATE_LAUNCHER_VERB_EXEC) == 0 ||
               strcmp(name, DINV_STATE_LAUNCHER_VERB_LOG) == 0) {
        client_serve_bridge(client, name, request);
    } else {
        client_refuse(client, "unknown verb");
    }
    json_object_put(request);
}

static gboolean client_on_request(int fd, GIOCondition condition, gpointer user) {
    Client *client = user;
    char chunk[4096];
    ssize_t got = read(fd, chunk, sizeof chunk);
    (void)condition;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    const char *newline = got > 0 ? memchr(chunk, '\n', (gsize)got) : NULL;
    if (got > 0) {
        g_string_append_len(client->request, chunk, got);
    }
    if (got > 0 && newline == NULL &&
        client->request->len <= DINV_STATE_LAUNCHER_REQUEST_MAX_BYTES) {
        return G_SOURCE_CONTINUE;
    }
    client->source = 0;
    g_clear_handle_id(&client->timeout_source, g_source_remove);
    if (got <= 0) {
        client_end(client);
    } else if (client->request->len > DINV_STATE_LAUNCHER_REQUEST_MAX_BYTES) {
        client_refuse(client, "the request is too long (64 KiB at most)");
    } else if (newline != chunk + got - 1) {
        client_refuse(client, "there is more behind the request; wait for its answer");
    } else {
        client_serve(client);
    }
    return G_SOURCE_REMOVE;
}

static void server_on_client(int fd, gpointer user) {
    DinvVmLauncherSocket *server = user;
    if (g_hash_table_size(server->clients) >= CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    Client *client = g_new0(Client, 1);
    client->server = server;
    client->fd = fd;
    client->request = g_string_new(NULL);
    client->answer = g_string_new(NULL);
    client->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, client_on_request, client);
    client->timeout_source = g_timeout_add(CLIENT_TIMEOUT_MS, client_on_timeout, client);
    g_hash_table_add(server->clients, client);
}

DinvVmLauncherSocket *dinv_vm_launcher_socket_new(const char *state_dir, DinvVm *vm,
                                                  GError **error) {
    g_autofree char *path = dinv_state_launcher_socket_path(state_dir);
    DinvListener *listener = dinv_listener_new(path, 0600, (uid_t)-1, (gid_t)-1, error);
    if (listener == NULL) {
        return NULL;
    }
    DinvVmLauncherSocket *server = g_new0(DinvVmLauncherSocket, 1);
    server->vm = vm;
    server->listener = listener;
    server->clients = g_hash_table_new(NULL, NULL);
    dinv_listener_accept_to(listener, server_on_client, server);
    return server;
}

void dinv_vm_launcher_socket_free(DinvVmLauncherSocket *server) {
    if (server == NULL) {
        return;
    }
    g_autoptr(GList) clients = g_hash_table_get_keys(server->clients);
    for (GList *item = clients; item != NULL; item = item->next) {
        client_end(item->data);
    }
    dinv_listener_free(server->listener);
    g_hash_table_unref(server->clients);
    g_free(server);
}

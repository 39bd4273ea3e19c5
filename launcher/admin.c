/* SPDX-License-Identifier: MIT */
#include "launcher/admin.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/listener.h"
#include "launcher/log.h"

#define SOCKET_NAME        "launcher.sock"
#define REQUEST_MAX_BYTES  65536u
#define REQUEST_TIMEOUT_MS 5000u
#define ANSWER_MAX_BYTES   (4u << 20)
#define CALL_TIMEOUT_MS    10000
#define CLIENTS_MAX        64u

struct DinvAdmin {
    DinvVm *vm;
    DinvListener *listener;
    GHashTable *clients; /* Client*, as a set */
};

/* A connection until its request is answered or its stream taken over by the relay. */
typedef struct {
    DinvAdmin *admin;
    int fd;
    guint source;
    guint timeout_source;
    GString *request;
} Client;

static void client_end(Client *client) {
    g_hash_table_remove(client->admin->clients, client);
    g_clear_handle_id(&client->source, g_source_remove);
    g_clear_handle_id(&client->timeout_source, g_source_remove);
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    g_string_free(client->request, TRUE);
    g_free(client);
}

/* Answers are small against the socket's buffer; a client that does not take one loses it. */
static void send_line(int fd, struct json_object *answer) {
    g_autofree char *line =
        g_strconcat(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN), "\n", NULL);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
        g_debug("admin: a client did not take its answer");
    }
}

static void send_error(int fd, const char *text) {
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "error", json_object_new_string(text));
    send_line(fd, answer);
    json_object_put(answer);
}

static void on_status(struct json_object *status, gpointer user) {
    Client *client = user;
    send_line(client->fd, status);
    client_end(client);
}

static void serve_bridge(Client *client, const char *service, struct json_object *request) {
    DinvRelayHost *relay = dinv_vm_get_relay(client->admin->vm);
    if (relay == NULL) {
        send_error(client->fd, "the engine is not ready yet (see \"dinv status\")");
        return;
    }
    struct json_object *argument = NULL;
    json_object_object_get_ex(request, "argument", &argument);
    const char *text =
        argument != NULL ? json_object_to_json_string_ext(argument, JSON_C_TO_STRING_PLAIN) : "{}";
    if (strlen(text) > DINV_RELAY_ARGUMENT_MAX) {
        send_error(client->fd, "the command and its environment are too long (32 KiB at most)");
        return;
    }
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "ok", json_object_new_boolean(TRUE));
    send_line(client->fd, answer);
    json_object_put(answer);
    g_autoptr(GError) error = NULL;
    int fd = client->fd;
    client->fd = -1;
    if (!dinv_relay_host_bridge(relay, service, text, strlen(text), fd, &error)) {
        dinv_log(DINV_LOG_WARNING, "%s", error->message);
    }
}

/* Ends the client, unless the vm's status is still to come. */
static void serve(Client *client) {
    struct json_object *request = json_tokener_parse(client->request->str);
    struct json_object *verb = NULL;
    const char *name = json_object_is_type(request, json_type_object) &&
                               json_object_object_get_ex(request, "verb", &verb) &&
                               json_object_is_type(verb, json_type_string)
                           ? json_object_get_string(verb)
                           : "";
    if (strcmp(name, "status") == 0) {
        g_clear_handle_id(&client->source, g_source_remove);
        g_clear_handle_id(&client->timeout_source, g_source_remove);
        json_object_put(request);
        dinv_vm_get_status(client->admin->vm, on_status, client);
        return;
    }
    if (strcmp(name, "exec") == 0 || strcmp(name, "log") == 0) {
        serve_bridge(client, name, request);
    } else {
        send_error(client->fd, "unknown verb");
    }
    json_object_put(request);
    client_end(client);
}

static gboolean on_request(int fd, GIOCondition condition, gpointer user) {
    Client *client = user;
    char chunk[4096];
    ssize_t got = read(fd, chunk, sizeof chunk);
    (void)condition;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (got > 0) {
        g_string_append_len(client->request, chunk, got);
    }
    gboolean complete =
        client->request->len > 0 && client->request->str[client->request->len - 1] == '\n';
    if (!complete && got > 0 && client->request->len <= REQUEST_MAX_BYTES) {
        return G_SOURCE_CONTINUE;
    }
    client->source = 0;
    if (complete) {
        serve(client);
    } else {
        client_end(client);
    }
    return G_SOURCE_REMOVE;
}

static gboolean on_request_timeout(gpointer user) {
    Client *client = user;
    client->timeout_source = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

static void on_client(int fd, gpointer user) {
    DinvAdmin *admin = user;
    if (g_hash_table_size(admin->clients) >= CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    Client *client = g_new0(Client, 1);
    client->admin = admin;
    client->fd = fd;
    client->request = g_string_new(NULL);
    client->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_request, client);
    client->timeout_source = g_timeout_add(REQUEST_TIMEOUT_MS, on_request_timeout, client);
    g_hash_table_add(admin->clients, client);
}

DinvAdmin *dinv_admin_new(const char *state_dir, DinvVm *vm, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, SOCKET_NAME, NULL);
    DinvListener *listener = dinv_listener_new(path, 0600, (uid_t)-1, (gid_t)-1, error);
    if (listener == NULL) {
        return NULL;
    }
    DinvAdmin *admin = g_new0(DinvAdmin, 1);
    admin->vm = vm;
    admin->listener = listener;
    admin->clients = g_hash_table_new(NULL, NULL);
    dinv_listener_accept_to(listener, on_client, admin);
    return admin;
}

void dinv_admin_free(DinvAdmin *admin) {
    if (admin == NULL) {
        return;
    }
    g_autoptr(GList) clients = g_hash_table_get_keys(admin->clients);
    for (GList *item = clients; item != NULL; item = item->next) {
        client_end(item->data);
    }
    dinv_listener_free(admin->listener);
    g_hash_table_unref(admin->clients);
    g_free(admin);
}

/* --- The client's side --- */

static int connect_to(const char *state_dir, GError **error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = g_build_filename(state_dir, SOCKET_NAME, NULL);
    int fd = -1;
    int code = ENAMETOOLONG;
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) < sizeof address.sun_path) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        code = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    }
    if (code == 0) {
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (code == ENOENT || code == ECONNREFUSED) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "no dinv runs on the state directory \"%s\"; start one with \"dinv run\", or "
                    "set DINV_STATE_DIR",
                    state_dir);
    } else {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot connect to \"%s\": %s", path, g_strerror(code));
    }
    return -1;
}

static gboolean send_request(int fd, struct json_object *request) {
    g_autofree char *line =
        g_strconcat(json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN), "\n", NULL);
    gsize length = strlen(line);
    for (gsize sent = 0; sent < length;) {
        ssize_t result = send(fd, line + sent, length - sent, MSG_NOSIGNAL);
        if (result < 0 && errno != EINTR) {
            return FALSE;
        }
        sent += result > 0 ? (gsize)result : 0;
    }
    return TRUE;
}

/* Byte by byte: what follows the line belongs to the caller. NULL at the end or after the deadline.
 */
static char *read_line(int fd) {
    gint64 deadline = g_get_monotonic_time() + (gint64)CALL_TIMEOUT_MS * 1000;
    GString *line = g_string_new(NULL);
    while (line->len < ANSWER_MAX_BYTES) {
        gint64 left_ms = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        char byte = '\0';
        if (left_ms <= 0 || (poll(&poll_fd, 1, (int)left_ms) < 0 && errno != EINTR)) {
            break;
        }
        if (poll_fd.revents == 0) {
            continue;
        }
        if (read(fd, &byte, 1) != 1) {
            break;
        }
        if (byte == '\n') {
            return g_string_free(line, FALSE);
        }
        g_string_append_c(line, byte);
    }
    g_string_free(line, TRUE);
    return NULL;
}

int dinv_admin_call(const char *state_dir, struct json_object *request, struct json_object **answer,
                    GError **error) {
    int fd = connect_to(state_dir, error);
    if (fd < 0) {
        json_object_put(request);
        return -1;
    }
    g_autofree char *line = send_request(fd, request) ? read_line(fd) : NULL;
    json_object_put(request);
    struct json_object *parsed = line != NULL ? json_tokener_parse(line) : NULL;
    struct json_object *text = NULL;
    if (parsed == NULL || !json_object_is_type(parsed, json_type_object)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "the running dinv did not answer; is it being stopped?");
    } else if (json_object_object_get_ex(parsed, "error", &text)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, json_object_get_string(text));
    } else {
        *answer = parsed;
        return fd;
    }
    json_object_put(parsed);
    (void)close(fd);
    return -1;
}

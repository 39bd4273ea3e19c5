/* SPDX-License-Identifier: MIT */
#include "launcher/vm/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/listener.h"
#include "launcher/base/log.h"
#include "launcher/base/unix-socket.h"
#include "wire/services.h"

#define SOCKET_NAME       "launcher.sock"
#define REQUEST_MAX_BYTES 65536u
/* For the request to come, and again for the answer to be taken. */
#define CLIENT_TIMEOUT_MS 5000u
#define ANSWER_MAX_BYTES  (4u << 20)
#define CALL_TIMEOUT_MS   10000
#define CLIENTS_MAX       64u
#define JSON_DEPTH        16

struct DinvAdmin {
    DinvVm *vm;
    DinvListener *listener;
    GHashTable *clients; /* Client*, as a set */
};

/* A connection until its request is answered or its stream taken over by the relay. */
typedef struct {
    DinvAdmin *admin;
    int fd;
    guint source; /* reads the request, then writes the answer */
    guint timeout_source;
    GString *request;
    GString *answer;
    gsize answer_sent;
    struct ForwardsCall *forwards_call; /* waits for the machine's answer */
} Client;

/* Outlives a client that ends before. */
typedef struct ForwardsCall {
    Client *client;
} ForwardsCall;

static void client_end(Client *client) {
    g_hash_table_remove(client->admin->clients, client);
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

static gboolean on_timeout(gpointer user) {
    Client *client = user;
    client->timeout_source = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

/* TRUE as long as there is more to send, to somebody who takes it. */
static gboolean send_answer(Client *client) {
    ssize_t sent = send(client->fd, client->answer->str + client->answer_sent,
                        client->answer->len - client->answer_sent, MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    client->answer_sent += (gsize)sent;
    return client->answer_sent < client->answer->len;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer user) {
    Client *client = user;
    (void)fd;
    (void)condition;
    if (send_answer(client)) {
        return G_SOURCE_CONTINUE;
    }
    client->source = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

/* The last thing done with the client by the caller. */
static void client_answer(Client *client, struct json_object *answer) {
    g_string_assign(client->answer, json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    g_string_append_c(client->answer, '\n');
    if (!send_answer(client)) {
        client_end(client);
        return;
    }
    client->source = g_unix_fd_add(client->fd, G_IO_OUT, on_writable, client);
    client->timeout_source = g_timeout_add(CLIENT_TIMEOUT_MS, on_timeout, client);
}

static void client_refuse(Client *client, const char *text) {
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "error", json_object_new_string(text));
    client_answer(client, answer);
    json_object_put(answer);
}

static void on_status(struct json_object *status, gpointer user) {
    client_answer(user, status);
}

static void on_forwards(GObject *source, GAsyncResult *result, gpointer user) {
    ForwardsCall *call = user;
    g_autoptr(GError) error = NULL;
    (void)source;
    g_autofree char *text = dinv_machine_list_finish(result, &error);
    if (call->client != NULL) {
        call->client->forwards_call = NULL;
        if (text == NULL) {
            client_refuse(call->client, error->message);
        } else {
            struct json_object *answer = json_object_new_object();
            json_object_object_add(answer, "forwards", json_object_new_string(text));
            client_answer(call->client, answer);
            json_object_put(answer);
        }
    }
    g_free(call);
}

static void serve_forwards(Client *client) {
    DinvMachine *machine = dinv_vm_get_machine(client->admin->vm);
    if (machine == NULL) {
        client_refuse(client, "the machine does not run");
        return;
    }
    client->forwards_call = g_new0(ForwardsCall, 1);
    client->forwards_call->client = client;
    dinv_machine_list_forwards(machine, on_forwards, client->forwards_call);
}

/* Joins the client's connection to a stream; our own descriptor of it is only for the answer, which
 * goes out before the loop can move a byte of the stream. */
static gboolean bridge(Client *client, DinvVmRelay *relay, const char *service, const char *text,
                       GError **error) {
    int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "no relay stream to the guest's service \"%s\": %s", service,
                    g_strerror(errno));
        return FALSE;
    }
    return dinv_vm_relay_bridge(relay, service, text, strlen(text), fd, error);
}

static void serve_bridge(Client *client, const char *service, struct json_object *request) {
    DinvVmRelay *relay = dinv_vm_get_relay(client->admin->vm);
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
    if (!bridge(client, relay, service, text, &error)) {
        client_refuse(client, error->message);
        return;
    }
    struct json_object *answer = json_object_new_object();
    json_object_object_add(answer, "ok", json_object_new_boolean(TRUE));
    client_answer(client, answer);
    json_object_put(answer);
}

/* The request is whole; the client is answered now or, for the vm's status, later. */
static void serve(Client *client) {
    struct json_object *request =
        dinv_json_text_parse(client->request->str, client->request->len, JSON_DEPTH);
    struct json_object *verb = NULL;
    const char *name = json_object_is_type(request, json_type_object) &&
                               json_object_object_get_ex(request, "verb", &verb) &&
                               json_object_is_type(verb, json_type_string)
                           ? json_object_get_string(verb)
                           : "";
    if (strcmp(name, "status") == 0) {
        dinv_vm_get_status(client->admin->vm, on_status, client);
    } else if (strcmp(name, "forwards") == 0) {
        serve_forwards(client);
    } else if (strcmp(name, DINV_WIRE_SERVICE_EXEC) == 0 ||
               strcmp(name, DINV_WIRE_SERVICE_LOG) == 0) {
        serve_bridge(client, name, request);
    } else {
        client_refuse(client, "unknown verb");
    }
    json_object_put(request);
}

static gboolean on_request(int fd, GIOCondition condition, gpointer user) {
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
    if (got > 0 && newline == NULL && client->request->len <= REQUEST_MAX_BYTES) {
        return G_SOURCE_CONTINUE;
    }
    client->source = 0;
    g_clear_handle_id(&client->timeout_source, g_source_remove);
    if (got <= 0) {
        client_end(client);
    } else if (client->request->len > REQUEST_MAX_BYTES) {
        client_refuse(client, "the request is too long (64 KiB at most)");
    } else if (newline != chunk + got - 1) {
        client_refuse(client, "there is more behind the request; wait for its answer");
    } else {
        serve(client);
    }
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
    client->answer = g_string_new(NULL);
    client->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_request, client);
    client->timeout_source = g_timeout_add(CLIENT_TIMEOUT_MS, on_timeout, client);
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

gboolean dinv_admin_check(const char *state_dir, GError **error) {
    const gsize longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    gsize length = strlen(state_dir) + 1 + strlen(SOCKET_NAME);
    if (length > longest) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG,
                    "DINV_STATE_DIR: \"%s\" is %zu bytes long, at most %zu leave room for the "
                    "socket \"" SOCKET_NAME "\" in it; choose a shorter one",
                    state_dir, strlen(state_dir), longest - 1 - strlen(SOCKET_NAME));
        return FALSE;
    }
    return TRUE;
}

/* -1 with errno set. */
static int connect_socket(const char *state_dir) {
    g_autofree char *path = g_build_filename(state_dir, SOCKET_NAME, NULL);
    int fd = dinv_unix_socket_connect(path, CALL_TIMEOUT_MS / 1000);
    if (fd < 0 && errno == ENAMETOOLONG) {
        errno = ENOENT; /* nobody can listen there */
    }
    return fd;
}

gboolean dinv_admin_is_running(const char *state_dir) {
    int fd = connect_socket(state_dir);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static int connect_to(const char *state_dir, GError **error) {
    int fd = connect_socket(state_dir);
    int code = errno;
    if (fd >= 0) {
        return fd;
    }
    if (code == ENOENT || code == ECONNREFUSED) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "no dinv runs on the state directory \"%s\"; start one with \"dinv run\", or "
                    "set DINV_STATE_DIR",
                    state_dir);
    } else {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot reach the dinv that runs on the state directory \"%s\": %s", state_dir,
                    g_strerror(code));
    }
    return -1;
}

static void send_request(int fd, struct json_object *request) {
    g_autofree char *line =
        g_strconcat(json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN), "\n", NULL);
    gsize length = strlen(line);
    for (gsize sent = 0; sent < length;) {
        ssize_t result = send(fd, line + sent, length - sent, MSG_NOSIGNAL);
        if (result < 0 && errno != EINTR) {
            return;
        }
        sent += result > 0 ? (gsize)result : 0;
    }
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
    /* Who is refused in the middle of the request can still read why. */
    send_request(fd, request);
    g_autofree char *line = read_line(fd);
    json_object_put(request);
    struct json_object *parsed =
        line != NULL ? dinv_json_text_parse(line, strlen(line), JSON_DEPTH) : NULL;
    struct json_object *text = NULL;
    if (parsed == NULL || !json_object_is_type(parsed, json_type_object)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "the running dinv did not answer; is it being stopped?");
    } else if (json_object_object_get_ex(parsed, "error", &text)) {
        g_autofree char *printable =
            dinv_log_printable_line(text != NULL ? json_object_get_string(text) : "an error");
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, printable);
    } else {
        *answer = parsed;
        return fd;
    }
    json_object_put(parsed);
    (void)close(fd);
    return -1;
}

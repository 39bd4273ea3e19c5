/* SPDX-License-Identifier: MIT */
/* The command lines for the human monitor, and what its answers mean. */
#include "launcher/machine/qemu/hostfwd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "launcher/machine/qemu/argv.h"
#include "launcher/machine/qemu/internal.h"

/* What is being asked for; the task data. */
typedef struct {
    DinvQmpClient *client;
    DinvPortForward forward;
    struct in_addr address;
    char text[INET_ADDRSTRLEN]; /* the address */
} Request;

static Request *request_new(const DinvPortForward *forward, const char *address, GError **error) {
    Request request = {.forward = *forward};
    if (*address == '\0') {
        address = "0.0.0.0";
    }
    /* This check also keeps everything but an address out of the monitor's command line. */
    if (inet_pton(AF_INET, address, &request.address) != 1) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "\"%s\" is not an IPv4 address; only those can be published", address);
        return NULL;
    }
    if (forward->host_port == 0 || forward->guest_port == 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "0 is not a port (1-65535)");
        return NULL;
    }
    (void)inet_ntop(AF_INET, &request.address, request.text, sizeof(request.text));
    return g_memdup2(&request, sizeof(request));
}

static GError *add_error(const Request *request, const char *said) {
    /* QEMU says only that it could not bind the port: the reason is found by trying it here. */
    int number =
        dinv_port_try_bind(request->forward.protocol, request->address, request->forward.host_port);
    const char *protocol = dinv_protocol_name(request->forward.protocol);
    if (number != 0) {
        return g_error_new(G_IO_ERROR, (int)g_io_error_from_errno(number),
                           "listen %s %s:%u: bind: %s", protocol, request->text,
                           request->forward.host_port,
                           number == EADDRINUSE ? "address already in use" : g_strerror(number));
    }
    return g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED, "cannot forward %s:%u/%s: %s", request->text,
                       request->forward.host_port, protocol, said);
}

/* What the monitor printed, as a line fit to show; NULL with the task's error set if the call
 * failed. */
static char *monitor_text(struct json_object *result, const GError *error, GTask *task) {
    if (error != NULL) {
        g_task_return_error(task, g_error_copy(error));
        return NULL;
    }
    if (!json_object_is_type(result, json_type_string)) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                "QEMU's monitor answered with something that is no text");
        return NULL;
    }
    char *text =
        g_utf8_make_valid(json_object_get_string(result), json_object_get_string_len(result));
    g_strdelimit(text, "\r\n\t\033", ' ');
    return g_strstrip(text);
}

static void call_monitor(DinvQmpClient *client, const char *line, DinvQmpReply reply,
                         gpointer user) {
    struct json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, "command-line", json_object_new_string(line));
    dinv_qmp_client_call(client, "human-monitor-command", arguments, DINV_QEMU_COMMAND_MS, reply,
                         user);
}

static char *remove_line(const Request *request) {
    return g_strdup_printf("hostfwd_remove " DINV_QEMU_NETDEV " %s:%s:%u",
                           dinv_protocol_name(request->forward.protocol), request->text,
                           request->forward.host_port);
}

/* Errors of human-monitor-command come as a successful return with their text; success is silence.
 * An answer that is late is one that nobody waits for any more: what it says yes to has to go. */
static void hostfwd_on_added(struct json_object *result, const GError *error, gpointer user) {
    g_autoptr(GTask) task = user;
    const Request *request = g_task_get_task_data(task);
    if (g_error_matches(error, DINV_QMP_ERROR, DINV_QMP_ERROR_TIMEOUT)) {
        g_autofree char *line = remove_line(request);
        call_monitor(request->client, line, NULL, NULL);
    }
    g_autofree char *text = monitor_text(result, error, task);
    if (text != NULL && *text == '\0') {
        g_task_return_boolean(task, TRUE);
    } else if (text != NULL) {
        g_task_return_error(task, add_error(request, text));
    }
}

/* hostfwd_remove has a text for success: "host forwarding rule for … removed". */
static void hostfwd_on_removed(struct json_object *result, const GError *error, gpointer user) {
    g_autoptr(GTask) task = user;
    g_autofree char *text = monitor_text(result, error, task);
    if (text != NULL && (*text == '\0' || g_str_has_suffix(text, " removed"))) {
        g_task_return_boolean(task, TRUE);
    } else if (text != NULL) {
        const Request *request = g_task_get_task_data(task);
        g_task_return_new_error(
            task, G_IO_ERROR,
            g_str_has_suffix(text, " not found") ? G_IO_ERROR_NOT_FOUND : G_IO_ERROR_FAILED,
            "cannot stop forwarding %s:%u/%s: %s", request->text, request->forward.host_port,
            dinv_protocol_name(request->forward.protocol), text);
    }
}

/* Sends the command line, or fails the task. Takes `task` over: `reply` gets it. */
static void run_line(DinvQmpClient *client, const char *line, DinvQmpReply reply, GTask *task) {
    if (client == NULL) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                                "the machine does not run");
        g_object_unref(task);
        return;
    }
    call_monitor(client, line, reply, task);
}

/* The request as the task's data; NULL, and the task is failed, if it makes no sense. */
static const Request *hostfwd_prepare(DinvQmpClient *client, GTask *task,
                                      const DinvPortForward *forward, const char *address) {
    g_autoptr(GError) error = NULL;
    Request *request = request_new(forward, address, &error);
    if (request == NULL) {
        g_task_return_error(task, g_steal_pointer(&error));
        g_object_unref(task);
        return NULL;
    }
    request->client = client;
    g_task_set_task_data(task, request, g_free);
    return request;
}

void dinv_qemu_hostfwd_add(DinvQmpClient *client, const DinvPortForward *forward,
                           const char *address, GTask *task) {
    const Request *request = hostfwd_prepare(client, task, forward, address);
    g_autofree char *line = NULL;
    if (request != NULL) {
        line = g_strdup_printf("hostfwd_add " DINV_QEMU_NETDEV " %s:%s:%u-:%u",
                               dinv_protocol_name(forward->protocol), request->text,
                               forward->host_port, forward->guest_port);
        run_line(client, line, hostfwd_on_added, task);
    }
}

void dinv_qemu_hostfwd_remove(DinvQmpClient *client, const DinvPortForward *forward,
                              const char *address, GTask *task) {
    const Request *request = hostfwd_prepare(client, task, forward, address);
    g_autofree char *line = NULL;
    if (request != NULL) {
        line = remove_line(request);
        run_line(client, line, hostfwd_on_removed, task);
    }
}

/* "info usernet" is a table of everything that the network has open; a forward is a line of it with
 * [HOST_FORWARD]. */
static void hostfwd_on_listed(struct json_object *result, const GError *error, gpointer user) {
    g_autoptr(GTask) task = user;
    g_autoptr(GString) rules = g_string_new(NULL);
    if (error != NULL) {
        g_task_return_error(task, g_error_copy(error));
        return;
    }
    g_auto(GStrv) lines = g_strsplit(json_object_get_string(result), "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        if (strstr(lines[i], "[HOST_FORWARD]") != NULL) {
            g_string_append_printf(rules, "%s\n", g_strstrip(lines[i]));
        }
    }
    g_task_return_pointer(task, g_string_free(g_steal_pointer(&rules), FALSE), g_free);
}

void dinv_qemu_hostfwd_list(DinvQmpClient *client, GTask *task) {
    run_line(client, "info usernet", hostfwd_on_listed, task);
}

/* SPDX-License-Identifier: MIT */
/* One request, one answer, over a blocking socket with deadlines. */
#include "launcher/cli/launcher-client.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"
#include "launcher/base/unix-socket.h"
#include "launcher/cli/output.h"
#include "launcher/state/launcher-socket.h"

#define CALL_TIMEOUT_MS 10000

/* -1 with errno set. */
static int connect_socket(const char *state_dir) {
    g_autofree char *path = dinv_state_launcher_socket_path(state_dir);
    int fd = dinv_unix_socket_connect(path, CALL_TIMEOUT_MS / 1000);
    if (fd < 0 && errno == ENAMETOOLONG) {
        errno = ENOENT; /* nobody can listen there */
    }
    return fd;
}

gboolean dinv_cli_launcher_is_running(const char *state_dir) {
    int fd = connect_socket(state_dir);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static int connect_or_explain(const char *state_dir, GError **error) {
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

static void send_line(int fd, struct json_object *request) {
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

/* Byte by byte, as what follows the line belongs to the caller. NULL when the connection ends, the
 * line is too long, or the deadline passes before its end. Transfer full. */
static char *read_answer_line(int fd) {
    gint64 deadline = g_get_monotonic_time() + (gint64)CALL_TIMEOUT_MS * 1000;
    GString *line = g_string_new(NULL);
    while (line->len < DINV_STATE_LAUNCHER_ANSWER_MAX_BYTES) {
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

int dinv_cli_launcher_call(const char *state_dir, struct json_object *request,
                           struct json_object **answer, GError **error) {
    int fd = connect_or_explain(state_dir, error);
    if (fd < 0) {
        json_object_put(request);
        return -1;
    }
    /* A failure to send is not looked at: who is refused in the middle of the request can still
     * read why. */
    send_line(fd, request);
    g_autofree char *line = read_answer_line(fd);
    json_object_put(request);
    struct json_object *parsed =
        line != NULL ? dinv_json_text_parse(line, strlen(line), DINV_STATE_LAUNCHER_JSON_DEPTH)
                     : NULL;
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

struct json_object *dinv_cli_launcher_ask(const DinvConfig *config, const char *verb) {
    g_autoptr(GError) error = NULL;
    struct json_object *request = json_object_new_object();
    json_object_object_add(request, "verb", json_object_new_string(verb));
    struct json_object *answer = NULL;
    int fd = dinv_cli_launcher_call(config->state_dir, request, &answer, &error);
    if (fd < 0) {
        dinv_cli_complain("%s", error->message);
        return NULL;
    }
    (void)close(fd);
    return answer;
}

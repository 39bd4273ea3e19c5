/* SPDX-License-Identifier: MIT */
/* Requests to the engine, and their answers, which are untrusted and bounded. */
#include "launcher/bench/http.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "launcher/base/json-text.h"
#include "launcher/base/log.h"
#include "launcher/base/unix-socket.h"

#define CONNECT_TIMEOUT_S 10u
#define ANSWER_MAX_BYTES  (1u << 20)
#define JSON_DEPTH        32

guint dinv_bench_http_status(const char *text) {
    if (!g_str_has_prefix(text, "HTTP/1.") || strlen(text) < strlen("HTTP/1.0 200") ||
        text[8] != ' ') {
        return 0;
    }
    guint status = 0;
    for (const char *digit = text + 9; digit < text + 12; digit++) {
        if (!g_ascii_isdigit(*digit)) {
            return 0;
        }
        status = status * 10 + (guint)(*digit - '0');
    }
    return status;
}

int dinv_bench_http_send(DinvBenchWatch *watch, const char *socket_path, const char *method,
                         const char *path, const char *body, gsize length, GError **error) {
    int fd = dinv_unix_socket_connect(socket_path, CONNECT_TIMEOUT_S);
    if (fd < 0 || !g_unix_set_fd_nonblocking(fd, TRUE, NULL)) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot connect to \"%s\": %s", socket_path, g_strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    g_autofree char *head = g_strdup_printf(
        "%s %s HTTP/1.0\r\nHost: docker\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", method,
        path, length > 0 && body[0] != '{' ? "application/x-tar" : "application/json", length);
    if (!dinv_bench_watch_write(watch, fd, head, strlen(head), error) ||
        !dinv_bench_watch_write(watch, fd, body, length, error)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Appends what comes; FALSE on failure. *ended is set at the end. */
static gboolean read_more(DinvBenchWatch *watch, int fd, GString *text, gboolean *ended,
                          GError **error) {
    char chunk[16384];
    gssize got = dinv_bench_watch_read(watch, fd, chunk, sizeof chunk, error);
    if (got < 0) {
        return FALSE;
    }
    if (text->len + (gsize)got > ANSWER_MAX_BYTES) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                            "the engine's answer is longer than 1 MiB");
        return FALSE;
    }
    g_string_append_len(text, chunk, got);
    *ended = got == 0;
    return TRUE;
}

/* The engine's own words of an answer that is an error. */
static void set_refused(guint status, const char *body, GError **error) {
    struct json_object *parsed = dinv_json_text_parse(body, strlen(body), JSON_DEPTH);
    struct json_object *message = NULL;
    if (json_object_is_type(parsed, json_type_object)) {
        (void)json_object_object_get_ex(parsed, "message", &message);
    }
    const char *words = message != NULL ? json_object_get_string(message) : body;
    g_autofree char *printable = dinv_log_printable_line(words);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the engine answered %u: %s", status,
                printable);
    json_object_put(parsed);
}

gboolean dinv_bench_http_read_head(DinvBenchWatch *watch, int fd, GString *rest, GError **error) {
    gboolean ended = FALSE;
    const char *end = NULL;
    while ((end = strstr(rest->str, "\r\n\r\n")) == NULL && !ended) {
        if (!read_more(watch, fd, rest, &ended, error)) {
            return FALSE;
        }
    }
    guint status = dinv_bench_http_status(rest->str);
    if (end == NULL || status == 0) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "what answered is not an engine: no head of an HTTP answer came");
        return FALSE;
    }
    g_string_erase(rest, 0, end + 4 - rest->str);
    if (status / 100 == 2) {
        return TRUE;
    }
    while (!ended && read_more(watch, fd, rest, &ended, NULL)) {
    }
    set_refused(status, rest->str, error);
    return FALSE;
}

char *dinv_bench_http_finish(DinvBenchWatch *watch, int fd, GError **error) {
    g_autoptr(GString) text = g_string_new(NULL);
    gboolean ended = FALSE;
    gboolean good = dinv_bench_http_read_head(watch, fd, text, error);
    while (good && !ended) {
        good = read_more(watch, fd, text, &ended, error);
    }
    (void)close(fd);
    return good ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

char *dinv_bench_http_call(DinvBenchWatch *watch, const char *socket_path, const char *method,
                           const char *path, const char *body, gsize length, GError **error) {
    int fd = dinv_bench_http_send(watch, socket_path, method, path, body, length, error);
    return fd >= 0 ? dinv_bench_http_finish(watch, fd, error) : NULL;
}

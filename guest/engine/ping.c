/* SPDX-License-Identifier: MIT */
/* A connection for each try, and a parser of the reply that takes it in any split. */
#include "guest/engine/ping.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/base/unix-socket.h"

enum { RETRY_MS = 50 };

/* HTTP/1.0, so that the reply is neither chunked nor kept open. */
static const char ping_request[] = "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n";

/* The value of a header in the header block, or NULL; *len is its length. */
static const char *find_header(const char *headers, const char *end, const char *name,
                               size_t *len) {
    size_t name_len = strlen(name);
    for (const char *line = headers; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        line_end = line_end != NULL ? line_end : end;
        if ((size_t)(line_end - line) > name_len && line[name_len] == ':' &&
            strncasecmp(line, name, name_len) == 0) {
            const char *value = line + name_len + 1;
            value += strspn(value, " \t");
            value = value < line_end ? value : line_end;
            *len = (size_t)(line_end - value);
            while (*len > 0 && (value[*len - 1] == '\r' || value[*len - 1] == ' ')) {
                (*len)--;
            }
            return value;
        }
        line = line_end + 1;
    }
    return NULL;
}

/* From "Docker/26.1.5+dfsg1 (linux)"; only what a version is made of. */
static void copy_version(const char *value, size_t len,
                         char version[static DINV_PING_VERSION_MAX]) {
    static const char product[] = "Docker/";
    size_t at = sizeof product - 1;
    size_t out = 0;
    if (len > at && strncmp(value, product, at) == 0) {
        for (; at < len && out < DINV_PING_VERSION_MAX - 1; at++) {
            if (value[at] <= ' ' || value[at] > '~' || value[at] == '"' || value[at] == '\\') {
                break;
            }
            version[out++] = value[at];
        }
    }
    version[out] = '\0';
}

/* Where the body begins; NULL if the headers are not complete. */
static const char *find_body(const DinvEnginePingReply *reply) {
    const char *body = strstr(reply->text, "\r\n\r\n");
    return body != NULL ? body + 4 : NULL;
}

int dinv_engine_ping_reply_add(DinvEnginePingReply *reply, const char *bytes, size_t len, bool end,
                               char version[static DINV_PING_VERSION_MAX]) {
    if (len > DINV_PING_REPLY_MAX - reply->len || memchr(bytes, '\0', len) != NULL) {
        return -EPROTO;
    }
    memcpy(reply->text + reply->len, bytes, len);
    reply->len += len;
    reply->text[reply->len] = '\0';
    static const char protocol[] = "HTTP/1.";
    size_t known = reply->len < sizeof protocol - 1 ? reply->len : sizeof protocol - 1;
    if (strncmp(reply->text, protocol, known) != 0) {
        return -EPROTO;
    }
    const char *body = find_body(reply);
    if (body == NULL) {
        return end ? -EPROTO : 0;
    }
    /* "HTTP/1.x NNN …" */
    if (reply->len < 12 || reply->text[8] != ' ') {
        return -EPROTO;
    }
    if (strncmp(reply->text + 9, "200", 3) != 0) {
        return end ? -EAGAIN : 0;
    }
    if (reply->len - (size_t)(body - reply->text) < 2) {
        return end ? -EPROTO : 0;
    }
    if (strncmp(body, "OK", 2) != 0) {
        return -EPROTO;
    }
    size_t value_len = 0;
    const char *value = find_header(reply->text, body, "Server", &value_len);
    copy_version(value != NULL ? value : "", value_len, version);
    return 1;
}

struct DinvEnginePing {
    DinvLoop *loop;
    char *socket_path;
    DinvEnginePingCallback callback;
    void *user;
    DinvTimer *retry;
    int fd;
    bool asked; /* the request was sent */
    DinvEnginePingReply reply;
};

static void ping_disconnect(DinvEnginePing *ping) {
    if (ping->fd >= 0) {
        dinv_loop_unwatch(ping->loop, ping->fd);
        close(ping->fd);
        ping->fd = -1;
    }
}

static void ping_try_later(DinvEnginePing *ping) {
    ping_disconnect(ping);
    dinv_timer_set(ping->retry, RETRY_MS);
}

static void ping_socket_ready(void *user, int fd, short revents) {
    DinvEnginePing *ping = user;
    if (!ping->asked) {
        /* So short that a fresh socket takes it whole. */
        ssize_t sent = send(fd, ping_request, sizeof ping_request - 1, MSG_NOSIGNAL);
        ping->asked = sent == (ssize_t)(sizeof ping_request - 1);
        if (!ping->asked || dinv_loop_watch(ping->loop, fd, POLLIN, ping_socket_ready, ping) < 0) {
            ping_try_later(ping);
        }
        return;
    }
    char bytes[2048];
    ssize_t len = recv(fd, bytes, sizeof bytes, 0);
    if (len < 0 && (errno == EAGAIN || errno == EINTR) && (revents & POLLERR) == 0) {
        return;
    }
    char version[DINV_PING_VERSION_MAX];
    int result =
        len < 0 ? -errno
                : dinv_engine_ping_reply_add(&ping->reply, bytes, (size_t)len, len == 0, version);
    if (result < 0) {
        ping_try_later(ping);
    } else if (result > 0) {
        ping_disconnect(ping);
        ping->callback(ping->user, version);
    }
}

static void ping_attempt(void *user) {
    DinvEnginePing *ping = user;
    ping->asked = false;
    ping->reply = (DinvEnginePingReply){0};
    int fd = dinv_unix_socket_connect(ping->socket_path);
    if (fd < 0) {
        dinv_timer_set(ping->retry, RETRY_MS);
        return;
    }
    ping->fd = fd;
    if (dinv_loop_watch(ping->loop, fd, POLLOUT, ping_socket_ready, ping) < 0) {
        ping_try_later(ping);
    }
}

DinvEnginePing *dinv_engine_ping_new(DinvLoop *loop, const char *socket_path,
                                     DinvEnginePingCallback callback, void *user) {
    DinvEnginePing *ping = calloc(1, sizeof *ping);
    if (ping == NULL) {
        return NULL;
    }
    ping->loop = loop;
    ping->fd = -1;
    ping->callback = callback;
    ping->user = user;
    ping->socket_path = strdup(socket_path);
    ping->retry = dinv_timer_new(loop, ping_attempt, ping);
    if (ping->socket_path == NULL || ping->retry == NULL) {
        dinv_engine_ping_free(ping);
        return NULL;
    }
    dinv_timer_set(ping->retry, 0);
    return ping;
}

void dinv_engine_ping_free(DinvEnginePing *ping) {
    if (ping == NULL) {
        return;
    }
    ping_disconnect(ping);
    dinv_timer_free(ping->retry);
    free(ping->socket_path);
    free(ping);
}

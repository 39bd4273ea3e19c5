/* SPDX-License-Identifier: MIT */
/* A state machine for each port proxy that is connected: see ProxyState and proxy_released(). */
#include "guest/ports/publish.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/utf8.h"
#include "guest/ports/request.h"
#include "wire/verbs.h"

enum {
    BACKLOG = 1024,
    ERROR_MAX = 400, /* bytes of a sentence for a proxy, whose lines are short */
};

typedef enum {
    PROXY_READING,
    PROXY_PUBLISHING,
    PROXY_PUBLISHED,
    PROXY_UNPUBLISHING,
} ProxyState;

typedef struct Proxy Proxy;
struct Proxy {
    DinvPortsPublish *publish;
    Proxy *next, *previous;
    int fd;
    ProxyState state;
    bool released; /* it has ended, or asked for the release */
    struct json_object *fields;
    size_t len;
    char line[DINV_PUBLISH_LINE_SIZE];
};

struct DinvPortsPublish {
    DinvLoop *loop;
    int listen_fd;
    DinvPortsRequest request;
    void *user;
    Proxy *proxies;
};

static void end_proxy(Proxy *proxy) {
    DinvPortsPublish *publish = proxy->publish;
    if (proxy->previous != NULL) {
        proxy->previous->next = proxy->next;
    } else {
        publish->proxies = proxy->next;
    }
    if (proxy->next != NULL) {
        proxy->next->previous = proxy->previous;
    }
    dinv_loop_unwatch(publish->loop, proxy->fd);
    close(proxy->fd);
    json_object_put(proxy->fields);
    free(proxy);
}

/* A short line on a new connection: there is room for it, or nobody reads. */
static void answer_proxy(Proxy *proxy, const char *error) {
    char text[DINV_PUBLISH_LINE_SIZE];
    size_t error_len = error != NULL ? strlen(error) : 0;
    error_len = error_len > ERROR_MAX ? dinv_utf8_cut(error, ERROR_MAX) : error_len;
    int len = error == NULL ? snprintf(text, sizeof text, "ok\n")
                            : snprintf(text, sizeof text, "error %.*s\n", (int)error_len, error);
    (void)send(proxy->fd, text, (size_t)len, MSG_NOSIGNAL);
}

static void proxy_unpublished(void *user, const char *error) {
    if (error != NULL) {
        dinv_log_warning("a port is not published any more, but the launcher says: %s, ignoring",
                         error);
    }
    end_proxy(user);
}

static void ask_unpublish(Proxy *proxy) {
    proxy->state = PROXY_UNPUBLISHING;
    dinv_loop_unwatch(proxy->publish->loop, proxy->fd);
    int result = proxy->publish->request(proxy->publish->user, DINV_WIRE_VERB_UNPUBLISH,
                                         json_object_get(proxy->fields), proxy_unpublished, proxy);
    if (result < 0) {
        proxy_unpublished(proxy, strerror(-result));
    }
}

static void proxy_published(void *user, const char *error) {
    Proxy *proxy = user;
    answer_proxy(proxy, error);
    if (error != NULL) {
        end_proxy(proxy);
        return;
    }
    proxy->state = PROXY_PUBLISHED;
    if (proxy->released) {
        ask_unpublish(proxy);
    }
}

static void proxy_line_came(Proxy *proxy, size_t len) {
    proxy->fields = dinv_ports_request_parse(proxy->line, len);
    if (proxy->fields == NULL) {
        answer_proxy(proxy, "dinv-port-proxy asked for something that makes no sense");
        end_proxy(proxy);
        return;
    }
    proxy->state = PROXY_PUBLISHING;
    int result = proxy->publish->request(proxy->publish->user, DINV_WIRE_VERB_PUBLISH,
                                         json_object_get(proxy->fields), proxy_published, proxy);
    if (result < 0) {
        proxy_published(proxy, "the launcher does not answer");
    }
}

/* The proxy has ended, or asks for the release of its port. */
static void proxy_released(Proxy *proxy) {
    proxy->released = true;
    if (proxy->state == PROXY_READING) {
        end_proxy(proxy);
    } else if (proxy->state == PROXY_PUBLISHED) {
        ask_unpublish(proxy);
    } else { /* the answer decides; until then a hang-up is no news */
        dinv_loop_unwatch(proxy->publish->loop, proxy->fd);
    }
}

static void proxy_ready(void *user, int fd, short revents) {
    (void)revents;
    Proxy *proxy = user;
    ssize_t got = read(fd, proxy->line + proxy->len, sizeof proxy->line - proxy->len);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0 || proxy->state != PROXY_READING) {
        proxy_released(proxy); /* whatever it says after its line */
        return;
    }
    proxy->len += (size_t)got;
    const char *newline = memchr(proxy->line, '\n', proxy->len);
    if (newline != NULL) {
        size_t len = (size_t)(newline - proxy->line);
        proxy->len = 0;
        proxy_line_came(proxy, len);
    } else if (proxy->len == sizeof proxy->line) {
        end_proxy(proxy);
    }
}

static void proxy_came(void *user, int fd, short revents) {
    (void)revents;
    DinvPortsPublish *publish = user;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
        return;
    }
    Proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL || dinv_loop_watch(publish->loop, client, POLLIN, proxy_ready, proxy) < 0) {
        free(proxy);
        close(client);
        return;
    }
    proxy->publish = publish;
    proxy->fd = client;
    proxy->next = publish->proxies;
    if (proxy->next != NULL) {
        proxy->next->previous = proxy;
    }
    publish->proxies = proxy;
}

static int listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
                    chmod(path, 0600) < 0 || listen(fd, BACKLOG) < 0)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

DinvPortsPublish *dinv_ports_publish_new(DinvLoop *loop, const char *socket_path,
                                         DinvPortsRequest request, void *user) {
    DinvPortsPublish *publish = calloc(1, sizeof *publish);
    if (publish == NULL) {
        return NULL;
    }
    *publish = (DinvPortsPublish){
        .loop = loop, .listen_fd = listen_on(socket_path), .request = request, .user = user};
    if (publish->listen_fd < 0 ||
        dinv_loop_watch(loop, publish->listen_fd, POLLIN, proxy_came, publish) < 0) {
        int error = errno;
        dinv_ports_publish_free(publish);
        errno = error;
        return NULL;
    }
    return publish;
}

void dinv_ports_publish_free(DinvPortsPublish *publish) {
    if (publish == NULL) {
        return;
    }
    while (publish->proxies != NULL) {
        end_proxy(publish->proxies);
    }
    if (publish->listen_fd >= 0) {
        dinv_loop_unwatch(publish->loop, publish->listen_fd);
        close(publish->listen_fd);
    }
    free(publish);
}

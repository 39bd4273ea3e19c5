/* SPDX-License-Identifier: MIT */
/* Finding a port by its name, and the peer who comes and goes: see port.h for both. */
#include "guest/channels/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/base/log.h"

enum {
    RECHECK_MS = 50,        /* how often a port without a peer is looked at */
    READ_SIZE = 256 * 1024, /* of one read; the kernel gives at most a buffer of the host */
    READS_A_ROUND = 8,      /* then the other descriptors have their turn */
};

struct DinvChannelPort {
    DinvLoop *loop;
    int fd;
    DinvChannelPortCallbacks callbacks;
    void *user;
    DinvTimer *recheck;
    bool connected;
    bool want_write;
    uint8_t buffer[READ_SIZE];
};

/* Whether the first line of `directory`/`entry`/name is `name`. */
static bool entry_is(const char *directory, const char *entry, const char *name) {
    char path[512];
    if (snprintf(path, sizeof path, "%s/%s/name", directory, entry) >= (int)sizeof path) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char found[128];
    ssize_t len = read(fd, found, sizeof found - 1);
    close(fd);
    if (len < 0) {
        return false;
    }
    found[len] = '\0';
    found[strcspn(found, "\n")] = '\0';
    return strcmp(found, name) == 0;
}

int dinv_channel_port_find(const char *class_directory, const char *device_directory,
                           const char *name) {
    DIR *directory = opendir(class_directory);
    if (directory == NULL) {
        return -ENOENT;
    }
    int result = -ENOENT;
    for (struct dirent *entry; result == -ENOENT && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || !entry_is(class_directory, entry->d_name, name)) {
            continue;
        }
        char path[512];
        if (snprintf(path, sizeof path, "%s/%s", device_directory, entry->d_name) <
            (int)sizeof path) {
            int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
            result = fd >= 0 ? fd : -errno;
        }
        break;
    }
    closedir(directory);
    return result;
}

static void port_ready(void *user, int fd, short revents);

static void watch_port(DinvChannelPort *port) {
    short events = port->want_write ? POLLIN | POLLOUT : POLLIN;
    int result = dinv_loop_watch(port->loop, port->fd, events, port_ready, port);
    if (result < 0) {
        dinv_log_error("cannot watch a port: %s", strerror(-result));
    }
}

static void hang_up_port(DinvChannelPort *port) {
    dinv_loop_unwatch(port->loop, port->fd);
    dinv_timer_set(port->recheck, RECHECK_MS);
    if (port->connected) {
        port->connected = false;
        port->want_write = false;
        port->callbacks.disconnected(port->user);
    }
}

static void recheck_port(void *user) {
    DinvChannelPort *port = user;
    struct pollfd pollfd = {.fd = port->fd, .events = POLLIN | POLLOUT};
    if (poll(&pollfd, 1, 0) < 0 || (pollfd.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        dinv_timer_set(port->recheck, RECHECK_MS);
        return;
    }
    port->connected = true;
    watch_port(port);
    port->callbacks.connected(port->user);
}

static void port_ready(void *user, int fd, short revents) {
    DinvChannelPort *port = user;
    if ((revents & POLLOUT) != 0 && port->want_write) {
        port->want_write = false;
        watch_port(port);
        port->callbacks.writable(port->user);
    }
    for (int turn = 0; turn < READS_A_ROUND && port->connected; turn++) {
        ssize_t len = read(fd, port->buffer, sizeof port->buffer);
        if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
            /* Nothing to read and hung up: the peer went away, however read() puts it. */
            if ((revents & (POLLHUP | POLLERR)) != 0) {
                hang_up_port(port);
            }
            return;
        }
        if (len <= 0) {
            hang_up_port(port);
            return;
        }
        port->callbacks.received(port->user, port->buffer, (size_t)len);
    }
}

DinvChannelPort *dinv_channel_port_new(DinvLoop *loop, int fd,
                                       const DinvChannelPortCallbacks *callbacks, void *user) {
    DinvChannelPort *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return NULL;
    }
    port->loop = loop;
    port->fd = fd;
    port->callbacks = *callbacks;
    port->user = user;
    port->recheck = dinv_timer_new(loop, recheck_port, port);
    if (port->recheck == NULL) {
        free(port);
        return NULL;
    }
    dinv_timer_set(port->recheck, 0);
    return port;
}

void dinv_channel_port_free(DinvChannelPort *port) {
    if (port == NULL) {
        return;
    }
    dinv_loop_unwatch(port->loop, port->fd);
    dinv_timer_free(port->recheck);
    close(port->fd);
    free(port);
}

bool dinv_channel_port_is_connected(const DinvChannelPort *port) {
    return port->connected;
}

ssize_t dinv_channel_port_write(DinvChannelPort *port, const void *bytes, size_t len) {
    if (!port->connected) {
        return -ENOTCONN;
    }
    ssize_t written = write(port->fd, bytes, len);
    if (written > 0) {
        return written;
    }
    if (written == 0 || errno == EAGAIN || errno == EINTR) {
        port->want_write = true;
        watch_port(port);
        return -EAGAIN;
    }
    /* Broken: the loop will see the hang-up; until then it is as good as full. */
    return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
}

/* SPDX-License-Identifier: MIT */
/* fanotify events in, answers out; each sync in a process that may take its time. */
#include "guest/engine/layer-sync.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/process.h"

/* An open that waits for the end of a sync. */
typedef struct Waiting Waiting;
struct Waiting {
    DinvEngineLayerSync *layers;
    Waiting *next;
    int fd; /* of the file to be opened */
    pid_t pid;
};

struct DinvEngineLayerSync {
    DinvLoop *loop;
    int events_fd;
    int (*sync)(int fd);
    Waiting *waiting;
};

static int mark_layerdb(int fd, const char *path) {
    if (mount(path, path, NULL, MS_BIND, NULL) < 0) {
        return -errno;
    }
    if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM, AT_FDCWD, path) < 0) {
        int result = -errno;
        (void)umount2(path, MNT_DETACH);
        return result;
    }
    return 0;
}

/* There is one for each storage driver that was ever used. */
static int mark_layerdbs(int fd, const char *data_root) {
    char pattern[256];
    if (snprintf(pattern, sizeof pattern, "%s/image/*/layerdb", data_root) >= (int)sizeof pattern) {
        return -ENAMETOOLONG;
    }
    glob_t found = {0};
    int result = glob(pattern, 0, NULL, &found);
    if (result != 0) {
        return result == GLOB_NOMATCH ? -ENOENT : -EIO;
    }
    for (size_t index = 0; result == 0 && index < found.gl_pathc; index++) {
        result = mark_layerdb(fd, found.gl_pathv[index]);
    }
    globfree(&found);
    return result;
}

int dinv_engine_layer_sync_open(const char *data_root) {
    int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = mark_layerdbs(fd, data_root);
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

/* Whether the file is the part of a record that says where the layer's files are. */
static bool completes_record(int fd) {
    char link[64];
    char path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) {
        return false;
    }
    path[len] = '\0';
    const char *name = strrchr(path, '/');
    return name != NULL && strcmp(name, "/cache-id") == 0 && strstr(path, "/layerdb/tmp/") != NULL;
}

/* Lets the open go on, or fail, and closes our descriptor of the file. */
static void answer_open(const DinvEngineLayerSync *layers, int fd, bool allowed) {
    const struct fanotify_response response = {.fd = fd,
                                               .response = allowed ? FAN_ALLOW : FAN_DENY};
    if (write(layers->events_fd, &response, sizeof response) != (ssize_t)sizeof response) {
        dinv_log_warning("cannot let dockerd go on with a layer: %s, ignoring", strerror(errno));
    }
    close(fd);
}

/* `status` as from wait(2). */
static void answer_synced(const DinvEngineLayerSync *layers, int fd, int status) {
    if (status != 0) {
        dinv_log_error("a layer is not recorded, because its files cannot be written: %s",
                       WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the sync was killed");
    }
    answer_open(layers, fd, status == 0);
}

static void sync_ended(void *user, pid_t pid, int wait_status) {
    (void)pid;
    Waiting *waiting = user;
    DinvEngineLayerSync *layers = waiting->layers;
    Waiting **link = &layers->waiting;
    while (*link != waiting) {
        link = &(*link)->next;
    }
    *link = waiting->next;
    answer_synced(layers, waiting->fd, wait_status);
    free(waiting);
}

/* In a worker. Exits with the errno. */
static int sync_layer(void *user) {
    const Waiting *waiting = user;
    return waiting->layers->sync(waiting->fd) < 0 ? errno : 0;
}

static void sync_then_answer(DinvEngineLayerSync *layers, int fd) {
    Waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting != NULL) {
        *waiting = (Waiting){.layers = layers, .next = layers->waiting, .fd = fd};
        if (dinv_process_fork_worker(sync_layer, waiting, &fd, 1, &waiting->pid) == 0 &&
            dinv_loop_watch_child(layers->loop, waiting->pid, sync_ended, waiting) == 0) {
            layers->waiting = waiting;
            return;
        }
    }
    /* Without the memory for that: here, however long it takes. */
    free(waiting);
    answer_synced(layers, fd, layers->sync(fd) < 0 ? W_EXITCODE(errno, 0) : 0);
}

static void read_open_events(void *user, int fd, short revents) {
    DinvEngineLayerSync *layers = user;
    _Alignas(struct fanotify_event_metadata) char bytes[4096];
    ssize_t len = read(fd, bytes, sizeof bytes);
    if (len <= 0 && ((revents & (POLLERR | POLLHUP)) != 0 || len == 0)) {
        dinv_loop_unwatch(layers->loop, fd);
        return;
    }
    const struct fanotify_event_metadata *event = (const void *)bytes;
    for (; FAN_EVENT_OK(event, len); event = FAN_EVENT_NEXT(event, len)) {
        if (event->fd < 0 || (event->mask & FAN_OPEN_PERM) == 0) {
            continue;
        }
        if (completes_record(event->fd)) {
            sync_then_answer(layers, event->fd);
        } else {
            answer_open(layers, event->fd, true);
        }
    }
}

DinvEngineLayerSync *dinv_engine_layer_sync_new(DinvLoop *loop, int events_fd,
                                                int (*sync)(int fd)) {
    DinvEngineLayerSync *layers = calloc(1, sizeof *layers);
    if (layers == NULL || dinv_loop_watch(loop, events_fd, POLLIN, read_open_events, layers) < 0) {
        free(layers);
        close(events_fd);
        return NULL;
    }
    layers->loop = loop;
    layers->events_fd = events_fd;
    layers->sync = sync;
    return layers;
}

void dinv_engine_layer_sync_free(DinvEngineLayerSync *layers) {
    if (layers == NULL) {
        return;
    }
    while (layers->waiting != NULL) {
        Waiting *waiting = layers->waiting;
        layers->waiting = waiting->next;
        dinv_loop_unwatch_child(layers->loop, waiting->pid);
        close(waiting->fd);
        free(waiting);
    }
    dinv_loop_unwatch(layers->loop, layers->events_fd);
    close(layers->events_fd);
    free(layers);
}

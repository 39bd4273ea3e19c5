/* SPDX-License-Identifier: MIT */
/* Two files as a ring. Positions count on for ever: a rotation cannot mislead a reader. */
#include "guest/engine/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/base/log.h"
#include "guest/base/utf8.h"

typedef struct {
    DinvEngineLogListener callback;
    void *user;
} Listener;

struct DinvEngineLog {
    char *path;
    char *older_path;
    uint64_t file_size;
    int fd;          /* the current file */
    int older_fd;    /* -1: none yet */
    uint64_t start;  /* position of the first byte of the current file */
    uint64_t end;    /* position behind the last */
    uint64_t oldest; /* position of the first byte of the older file */
    bool complained;
    Listener *listeners;
    size_t listener_count;
};

static int open_anew(const char *path) {
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
}

DinvEngineLog *dinv_engine_log_new(const char *path, uint64_t file_size) {
    DinvEngineLog *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return NULL;
    }
    log->older_fd = -1;
    log->fd = -1;
    log->file_size = file_size;
    log->path = strdup(path);
    if (log->path != NULL && asprintf(&log->older_path, "%s.1", path) >= 0) {
        (void)unlink(log->older_path);
        log->fd = open_anew(path);
    } else {
        log->older_path = NULL;
        errno = ENOMEM;
    }
    if (log->fd < 0) {
        int error = errno;
        dinv_engine_log_free(log);
        errno = error;
        return NULL;
    }
    return log;
}

void dinv_engine_log_free(DinvEngineLog *log) {
    if (log == NULL) {
        return;
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    if (log->older_fd >= 0) {
        close(log->older_fd);
    }
    free(log->path);
    free(log->older_path);
    free(log->listeners);
    free(log);
}

static int rotate_engine_log(DinvEngineLog *log) {
    if (rename(log->path, log->older_path) < 0) {
        return -errno;
    }
    int fd = open_anew(log->path);
    if (fd < 0) {
        return -errno;
    }
    if (log->older_fd >= 0) {
        close(log->older_fd);
    }
    log->older_fd = log->fd;
    log->oldest = log->start;
    log->fd = fd;
    log->start = log->end;
    return 0;
}

static int append_bytes(DinvEngineLog *log, const char *bytes, size_t len) {
    while (len > 0) {
        uint64_t used = log->end - log->start;
        if (used >= log->file_size) {
            int result = rotate_engine_log(log);
            if (result < 0) {
                return result;
            }
            used = 0;
        }
        uint64_t room = log->file_size - used;
        size_t part = len < room ? len : (size_t)room;
        ssize_t written = pwrite(log->fd, bytes, part, (off_t)used);
        if (written <= 0) {
            return written < 0 ? -errno : -EIO;
        }
        log->end += (uint64_t)written;
        bytes += written;
        len -= (size_t)written;
    }
    return 0;
}

void dinv_engine_log_append(DinvEngineLog *log, const void *bytes, size_t len) {
    int result = append_bytes(log, bytes, len);
    if (result < 0 && !log->complained) {
        log->complained = true;
        dinv_log_warning("dockerd's log %s: %s, ignoring", log->path, strerror(-result));
    }
    /* Backwards: a listener that removes itself is replaced by the last, which was called. */
    for (size_t index = log->listener_count; index-- > 0;) {
        log->listeners[index].callback(log->listeners[index].user);
    }
}

ssize_t dinv_engine_log_read(const DinvEngineLog *log, uint64_t *position, void *bytes,
                             size_t cap) {
    uint64_t at = *position < log->oldest ? log->oldest : *position;
    bool older = at < log->start;
    uint64_t left = (older ? log->start : log->end) - (at < log->end ? at : log->end);
    if (left == 0) {
        return 0;
    }
    size_t part = cap < left ? cap : (size_t)left;
    ssize_t got = pread(older ? log->older_fd : log->fd, bytes, part,
                        (off_t)(at - (older ? log->oldest : log->start)));
    if (got < 0) {
        return -errno;
    }
    *position = at + (uint64_t)got;
    return got;
}

uint64_t dinv_engine_log_find_tail(const DinvEngineLog *log, uint64_t lines) {
    char chunk[4096];
    uint64_t at = log->end;
    uint64_t seen = 0;
    while (at > log->oldest && lines > 0) {
        uint64_t from = at - log->oldest > sizeof chunk ? at - sizeof chunk : log->oldest;
        uint64_t cursor = from;
        size_t len = 0;
        while (cursor < at) { /* a chunk may lie across both files */
            ssize_t got = dinv_engine_log_read(log, &cursor, chunk + len, (size_t)(at - cursor));
            if (got <= 0) {
                return at;
            }
            len += (size_t)got;
        }
        while (len-- > 0) {
            /* The newline at the very end closes the last line, it does not begin another. */
            if (chunk[len] == '\n' && from + len + 1 != log->end && ++seen == lines) {
                return from + len + 1;
            }
        }
        at = from;
    }
    return lines > 0 ? log->oldest : log->end;
}

/* How many bytes at the beginning continue a character that a cut has split. */
static size_t count_continuations(const char *text, size_t len) {
    size_t count = 0;
    while (count < 3 && count < len && ((unsigned char)text[count] & 0xc0) == 0x80) {
        count++;
    }
    return count;
}

char *dinv_engine_log_get_tail(const DinvEngineLog *log, uint64_t lines, size_t max) {
    uint64_t position = dinv_engine_log_find_tail(log, lines);
    bool cut = position == log->oldest && log->oldest > 0; /* by the rotation */
    if (log->end - position > max) {
        position = log->end - max;
        cut = true;
    }
    size_t size = (size_t)(log->end - position);
    char *bytes = malloc(size + 1); /* never of 0 bytes */
    if (bytes == NULL) {
        return NULL;
    }
    size_t len = 0;
    ssize_t got = 1;
    while (len < size && got > 0) {
        got = dinv_engine_log_read(log, &position, bytes + len, size - len);
        len += got > 0 ? (size_t)got : 0;
    }
    size_t skip = cut ? count_continuations(bytes, len) : 0;
    char *text = dinv_utf8_make_valid(bytes + skip, len - skip);
    free(bytes);
    return text;
}

int dinv_engine_log_add_listener(DinvEngineLog *log, DinvEngineLogListener listener, void *user) {
    Listener *grown = reallocarray(log->listeners, log->listener_count + 1, sizeof *grown);
    if (grown == NULL) {
        return -ENOMEM;
    }
    log->listeners = grown;
    log->listeners[log->listener_count++] = (Listener){listener, user};
    return 0;
}

void dinv_engine_log_remove_listener(DinvEngineLog *log, DinvEngineLogListener listener,
                                     void *user) {
    for (size_t index = 0; index < log->listener_count; index++) {
        if (log->listeners[index].callback == listener && log->listeners[index].user == user) {
            log->listeners[index] = log->listeners[--log->listener_count];
            return;
        }
    }
}

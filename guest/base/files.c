/* SPDX-License-Identifier: MIT */
/* Whole small files: read with a limit, written in one write, replaced by a rename. */
#include "guest/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t dinv_file_read(const char *path, char *text, size_t cap) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t len = 0;
    ssize_t got = 0;
    while (len < cap - 1 && (got = read(fd, text + len, cap - 1 - len)) > 0) {
        len += (size_t)got;
    }
    int error = errno;
    close(fd);
    if (got < 0) {
        return -error;
    }
    text[len] = '\0';
    return (ssize_t)len;
}

ssize_t dinv_file_read_all(const char *path, char **text, size_t max) {
    /* Files of /proc do not tell their size: a buffer that was filled to the brim was too small. */
    for (size_t cap = 16384; cap <= 2 * max; cap *= 2) {
        char *buffer = malloc(cap);
        if (buffer == NULL) {
            return -ENOMEM;
        }
        ssize_t len = dinv_file_read(path, buffer, cap);
        if (len < 0) {
            free(buffer);
            return len;
        }
        if ((size_t)len < cap - 1) {
            *text = buffer;
            return len;
        }
        free(buffer);
    }
    return -EFBIG;
}

static int write_whole(int fd, const void *bytes, size_t len) {
    ssize_t written = write(fd, bytes, len);
    if (written < 0) {
        return -errno;
    }
    return (size_t)written == len ? 0 : -EIO;
}

int dinv_file_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = write_whole(fd, text, strlen(text));
    close(fd);
    return result;
}

int dinv_file_replace(const char *path, const char *text) {
    return dinv_file_replace_with_mode(path, text, 0644);
}

int dinv_file_replace_with_mode(const char *path, const char *text, mode_t mode) {
    return dinv_file_replace_bytes(path, text, strlen(text), mode);
}

int dinv_file_replace_bytes(const char *path, const void *bytes, size_t len, mode_t mode) {
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.dinv", path) >= (int)sizeof temporary) {
        return -ENAMETOOLONG;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return -errno;
    }
    int result = fchmod(fd, mode) < 0 ? -errno : write_whole(fd, bytes, len);
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    if (result == 0 && rename(temporary, path) < 0) {
        result = -errno;
    }
    if (result < 0) {
        (void)unlink(temporary);
    }
    return result;
}

int dinv_make_parents(const char *path) {
    char parent[4096];
    if (strlen(path) >= sizeof parent) {
        return -ENAMETOOLONG;
    }
    (void)snprintf(parent, sizeof parent, "%s", path);
    return dinv_make_directories(dirname(parent));
}

int dinv_make_directories(const char *path) {
    char copy[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof copy) {
        return -ENAMETOOLONG;
    }
    memcpy(copy, path, len + 1);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char saved = *at;
        *at = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
        *at = saved;
        if (saved == '\0') {
            break;
        }
    }
    struct stat status;
    if (stat(path, &status) < 0) {
        return -errno;
    }
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

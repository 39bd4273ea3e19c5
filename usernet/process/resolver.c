/* SPDX-License-Identifier: MIT */
/* What was read, and stat64() and fopen64() for those who ask for it. */
#include "usernet/process/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"

static char content[8192];
static size_t content_len;

void dinv_usernet_resolver_read(void) {
    int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, content, sizeof(content)) : 0;
    content_len = len > 0 ? (size_t)len : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* As these are compiled, `struct stat` and FILE are those of the 64-bit names. */
_Static_assert(sizeof(off_t) == 8, "built without _FILE_OFFSET_BITS=64");

__attribute__((visibility("default"))) int dinv_usernet_stat(const char *path,
                                                             struct stat *status) __asm__("stat64");
__attribute__((visibility("default"))) FILE *
dinv_usernet_fopen(const char *path, const char *mode) __asm__("fopen64");

int dinv_usernet_stat(const char *path, struct stat *status) {
    if (strcmp(path, RESOLV_CONF) != 0) {
        return fstatat(AT_FDCWD, path, status, 0);
    }
    memset(status, 0, sizeof(*status)); /* always the same: it has not changed */
    return 0;
}

static FILE *open_path(const char *path, const char *mode) {
    int flags = mode[0] == 'r'   ? O_RDONLY
                : mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                                 : O_WRONLY | O_CREAT | O_APPEND;
    if (strchr(mode, '+') != NULL) {
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    }
    int fd = open(path, flags | O_CLOEXEC, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, mode) : NULL;
    if (fd >= 0 && file == NULL) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return file;
}

FILE *dinv_usernet_fopen(const char *path, const char *mode) {
    if (strcmp(path, RESOLV_CONF) != 0) {
        return open_path(path, mode);
    }
    if (content_len == 0) {
        errno = ENOENT;
        return NULL;
    }
    return fmemopen(content, content_len, "r");
}

/* SPDX-License-Identifier: MIT */
/*
 * What the checks of posix.c share. Each answers 0, the errno of the call that failed, or WRONG,
 * and has an empty directory of its own as working directory.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a check: 0, an errno, or WRONG. */
enum { WRONG = 4095 };

#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            return errno;                                                                          \
        }                                                                                          \
    } while (0)
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return WRONG;                                                                          \
        }                                                                                          \
    } while (0)
#define EXPECT_ERROR(call, number) EXPECT((call) < 0 && errno == (number))

typedef struct {
    const char *name; /* NULL: the end of the table */
    int (*run)(void);
} Check;

/* Modes, owners and names (posix-names.c); open files, times and attributes (posix-files.c); locks,
 * mappings, special files and programs (posix-processes.c). */
extern const Check name_checks[], file_checks[], process_checks[];

/* A new file with that text: its descriptor, or -1. */
static inline int make(const char *name, const char *text) {
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        return -1;
    }
    return fd;
}

/* Whether the file has just that text. */
static inline int holds(const char *name, const char *text) {
    char buffer[256] = "";
    int fd = open(name, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, buffer, sizeof buffer - 1) : -1;
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)n) == 0;
}

/* All zeros if there is no such name. */
static inline struct stat look(const char *name) {
    struct stat status = {0};
    (void)lstat(name, &status);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* What the log says meanwhile: stderr goes into a file in memory, and back to where it went
 * before. */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    int file;
    int stderr_before;
} LogCapture;

static inline void log_capture_begin(LogCapture *capture) {
    capture->file = memfd_create("log", MFD_CLOEXEC);
    capture->stderr_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    g_assert_cmpint(dup2(capture->file, STDERR_FILENO), ==, STDERR_FILENO);
}

static inline void log_capture_end(LogCapture *capture) {
    g_assert_cmpint(dup2(capture->stderr_before, STDERR_FILENO), ==, STDERR_FILENO);
    close(capture->stderr_before);
    close(capture->file);
}

/* All of the log so far. Transfer full. */
static inline char *log_capture_get(const LogCapture *capture) {
    off_t size = lseek(capture->file, 0, SEEK_END);
    char *text = g_malloc0((gsize)size + 1);
    g_assert_cmpint(pread(capture->file, text, (gsize)size, 0), ==, size);
    return text;
}

/* How often `text` stands in the log so far. */
static inline guint log_capture_count(const LogCapture *capture, const char *text) {
    g_autofree char *log = log_capture_get(capture);
    guint count = 0;
    for (const char *p = log; (p = strstr(p, text)) != NULL; p += strlen(text)) {
        count++;
    }
    return count;
}

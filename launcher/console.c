/* SPDX-License-Identifier: MIT */
#include "launcher/console.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/log.h"

/* A guest that floods its console fills neither the state volume nor our memory. */
#define FILE_MAX_BYTES (4u << 20)
#define TAIL_BYTES     8192u
#define READ_CHUNK     8192u

struct DinvConsole {
    int fd;
    guint source;
    char *path;
    int file;
    gsize file_bytes;
    gboolean write_failed; /* said once */
    GString *tail;
};

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void rotate(DinvConsole *console) {
    g_autofree char *previous = g_strconcat(console->path, ".1", NULL);
    (void)close(console->file);
    (void)rename(console->path, previous);
    console->file = open_file(console->path);
    console->file_bytes = 0;
}

static void store(DinvConsole *console, const guint8 *bytes, gsize length) {
    g_string_append_len(console->tail, (const char *)bytes, (gssize)length);
    if (console->tail->len > 2 * TAIL_BYTES) {
        g_string_erase(console->tail, 0, (gssize)(console->tail->len - TAIL_BYTES));
    }
    if (console->file_bytes + length > FILE_MAX_BYTES) {
        rotate(console);
    }
    ssize_t written = write(console->file, bytes, length);
    if (written != (ssize_t)length && !console->write_failed) {
        console->write_failed = TRUE;
        dinv_log(DINV_LOG_WARNING, "cannot write \"%s\": %s, ignoring", console->path,
                 written < 0 ? g_strerror(errno) : "short write");
    }
    console->file_bytes += length;
}

/* FALSE at the end of the channel. */
static gboolean read_some(DinvConsole *console, gboolean *got_bytes) {
    guint8 chunk[READ_CHUNK];
    ssize_t got = read(console->fd, chunk, sizeof chunk);
    *got_bytes = got > 0;
    if (got > 0) {
        store(console, chunk, (gsize)got);
        return TRUE;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer user) {
    DinvConsole *console = user;
    gboolean got_bytes = FALSE;
    (void)fd;
    (void)condition;
    if (read_some(console, &got_bytes)) {
        return G_SOURCE_CONTINUE;
    }
    console->source = 0;
    return G_SOURCE_REMOVE;
}

void dinv_console_drain(DinvConsole *console) {
    gboolean got_bytes = TRUE;
    while (got_bytes && read_some(console, &got_bytes)) {
    }
}

char *dinv_console_get_tail(DinvConsole *console, guint lines) {
    g_autofree char *text = dinv_log_printable(console->tail->str);
    g_strchomp(text);
    char *start = text + strlen(text);
    while (start > text) {
        if (start[-1] == '\n' && --lines == 0) {
            break;
        }
        start--;
    }
    return g_strdup(start);
}

DinvConsole *dinv_console_new(int fd, const char *path, GError **error) {
    int file = open_file(path);
    if (file < 0) {
        int code = errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot create \"%s\": %s", path, g_strerror(code));
        (void)close(fd);
        return NULL;
    }
    DinvConsole *console = g_new0(DinvConsole, 1);
    console->fd = fd;
    console->file = file;
    console->path = g_strdup(path);
    console->tail = g_string_new(NULL);
    console->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, console);
    return console;
}

void dinv_console_free(DinvConsole *console) {
    if (console == NULL) {
        return;
    }
    g_clear_handle_id(&console->source, g_source_remove);
    (void)close(console->fd);
    (void)close(console->file);
    g_string_free(console->tail, TRUE);
    g_free(console->path);
    g_free(console);
}

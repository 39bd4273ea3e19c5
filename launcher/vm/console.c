/* SPDX-License-Identifier: MIT */
/* Reads the console into a file, which is rotated, and into a buffer for its last lines. */
#include "launcher/vm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/base/log.h"

/* A guest that floods its console fills neither the state volume nor our memory. */
#define FILE_MAX_BYTES (4u << 20)
#define TAIL_BYTES     ((gsize)8192)
#define READ_CHUNK     8192u
/* A guest that writes while we drain does not keep us. */
#define DRAIN_MAX_BYTES (1u << 20)

struct DinvVmConsole {
    int fd;
    guint source;
    char *path;
    int file;
    gsize file_bytes;
    gboolean write_failed; /* said once */
    GString *tail;
};

static int console_open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* A new file at `path`; the one before it is kept beside it. */
static int rotate_file(const char *path) {
    g_autofree char *previous = g_strconcat(path, ".1", NULL);
    (void)rename(path, previous);
    return console_open_file(path);
}

static void console_rotate(DinvVmConsole *console) {
    (void)close(console->file);
    console->file = rotate_file(console->path);
    console->file_bytes = 0;
}

static void console_store(DinvVmConsole *console, const guint8 *bytes, gsize length) {
    gsize before = console->tail->len;
    g_string_append_len(console->tail, (const char *)bytes, (gssize)length);
    for (char *p = console->tail->str + before; before < console->tail->len; before++, p++) {
        if (*p == '\0') { /* the tail is text, and a NUL would end it */
            *p = ' ';
        }
    }
    if (console->tail->len > 2 * TAIL_BYTES) {
        g_string_erase(console->tail, 0, (gssize)(console->tail->len - TAIL_BYTES));
    }
    if (console->file_bytes + length > FILE_MAX_BYTES) {
        console_rotate(console);
    }
    ssize_t written = write(console->file, bytes, length);
    if (written != (ssize_t)length && !console->write_failed) {
        console->write_failed = TRUE;
        dinv_log(DINV_LOG_WARNING, "cannot write \"%s\": %s, ignoring", console->path,
                 written < 0 ? g_strerror(errno) : "short write");
    }
    console->file_bytes += length;
}

/* How many bytes came, 0 for none now, -1 for never again. */
static ssize_t console_read_some(DinvVmConsole *console) {
    guint8 chunk[READ_CHUNK];
    ssize_t got = read(console->fd, chunk, sizeof chunk);
    if (got > 0) {
        console_store(console, chunk, (gsize)got);
        return got;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static gboolean console_on_readable(int fd, GIOCondition condition, gpointer user) {
    DinvVmConsole *console = user;
    (void)fd;
    (void)condition;
    if (console_read_some(console) >= 0) {
        return G_SOURCE_CONTINUE;
    }
    console->source = 0;
    return G_SOURCE_REMOVE;
}

void dinv_vm_console_drain(DinvVmConsole *console) {
    ssize_t got = 1;
    for (gsize drained = 0; got > 0 && drained < DRAIN_MAX_BYTES; drained += (gsize)got) {
        got = MAX(console_read_some(console), 0);
    }
}

char *dinv_vm_console_get_tail(DinvVmConsole *console, guint lines) {
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

DinvVmConsole *dinv_vm_console_new(int fd, const char *path, GError **error) {
    int file = rotate_file(path);
    if (file < 0) {
        int code = errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code),
                    "cannot create \"%s\": %s", path, g_strerror(code));
        (void)close(fd);
        return NULL;
    }
    DinvVmConsole *console = g_new0(DinvVmConsole, 1);
    console->fd = fd;
    console->file = file;
    console->path = g_strdup(path);
    console->tail = g_string_new(NULL);
    console->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, console_on_readable, console);
    return console;
}

void dinv_vm_console_free(DinvVmConsole *console) {
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

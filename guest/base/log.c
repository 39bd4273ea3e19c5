/* SPDX-License-Identifier: MIT */
/* The process's log: one line a call, to the console and to the sink. */
#include "guest/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/base/utf8.h"

enum { TEXT_SIZE = 1024 };

/* Process-wide on purpose: a log line must be possible from anywhere, also on the way down. */
static DinvGuestLogSink log_sink;
static void *log_sink_user;

const char *dinv_guest_log_level_name(DinvGuestLogLevel level) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return names[level];
}

void dinv_guest_log_set_sink(DinvGuestLogSink sink, void *user) {
    log_sink = sink;
    log_sink_user = user;
}

/* The line as it is written: no ASCII control characters, which a terminal would act upon, and
 * nothing that is not UTF-8. */
static void format_text(char text[static TEXT_SIZE], const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void format_text(char text[static TEXT_SIZE], const char *format, va_list arguments) {
    char raw[TEXT_SIZE] = "";
    int wanted = vsnprintf(raw, sizeof raw, format, arguments);
    size_t len = wanted < (int)sizeof raw ? strlen(raw) : dinv_utf8_cut(raw, sizeof raw - 1);
    (void)dinv_utf8_copy(text, TEXT_SIZE, raw, len);
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = *at == '\n' || *at == '\t' ? ' ' : '?';
        }
    }
}

void dinv_guest_log(DinvGuestLogLevel level, const char *format, ...) {
    static bool in_sink;
    char text[TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    format_text(text, format, arguments);
    va_end(arguments);
    char line[sizeof text + 32];
    const char *prefix = level == DINV_LOG_ERROR     ? "error: "
                         : level == DINV_LOG_WARNING ? "warning: "
                                                     : "";
    int len = snprintf(line, sizeof line, "dinv-guest: %s%s\n", prefix, text);
    /* One write for one line; a console that fails is no reason to do anything else. */
    if (write(STDERR_FILENO, line, (size_t)len) < 0) {
        ;
    }
    if (log_sink != NULL && level <= DINV_LOG_INFO && !in_sink) {
        in_sink = true;
        log_sink(log_sink_user, level, text);
        in_sink = false;
    }
}

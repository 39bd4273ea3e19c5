/* SPDX-License-Identifier: MIT */
#include "guest/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

void dinv_guest_log(DinvGuestLogLevel level, const char *format, ...) {
    static bool in_sink;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = *at == '\n' || *at == '\t' ? ' ' : '?';
        }
    }
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

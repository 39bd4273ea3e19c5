/* SPDX-License-Identifier: MIT */
/* The lines on stderr, the waiting line of a terminal, and untrusted text made fit to be shown. */
#include "launcher/base/log.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Twice a second: on a slow serial console one would see nothing else. What takes longer than these
 * steps is drawn at every tenth, as whoever keeps the terminal's output keeps each. */
#define SPINNER_INTERVAL_MS 500u
#define SPINNER_STEPS       20u
#define SPINNER_LATE_STEPS  10u
#define LINE_MAX_BYTES      1024u

static struct {
    DinvLogLevel level;
    gint64 start_us;
    gboolean terminal;
    gboolean progress; /* show what is waited for */
    gboolean drawn;    /* the waiting line stands on the terminal */
    gboolean said;     /* what is waited for stands in a line of its own */
    char *waiting_for;
    char *last_error;
    guint spinner_source;
    guint spinner_step;
} state = {.level = DINV_LOG_INFO};

void dinv_log_start(DinvLogLevel level) {
    state.level = level;
    state.progress = level >= DINV_LOG_INFO;
    if (state.start_us == 0) {
        state.start_us = g_get_monotonic_time();
    }
    state.terminal = isatty(STDERR_FILENO) == 1;
}

void dinv_log_start_quiet(void) {
    dinv_log_start(DINV_LOG_WARNING);
    state.progress = TRUE;
}

double dinv_log_elapsed(void) {
    return (double)(g_get_monotonic_time() - state.start_us) / G_USEC_PER_SEC;
}

static void erase_spinner(void) {
    if (state.drawn) {
        state.drawn = FALSE;
        (void)fputs("\r\033[K", stderr);
    }
}

/* A terminal that nobody looks at has no size: docker sets it when somebody attaches. */
static gboolean is_watched(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
}

static void draw_spinner(void) {
    static const char steps[] = "|/-\\";
    state.drawn = TRUE;
    (void)fprintf(stderr, "\r\033[Kdinv: [%6.1fs] %c %s", dinv_log_elapsed(),
                  steps[state.spinner_step % 4], state.waiting_for);
    (void)fflush(stderr);
}

static gboolean log_on_spinner_due(gpointer user) {
    (void)user;
    state.spinner_step++;
    if (!is_watched()) {
        if (!state.said) {
            state.said = TRUE;
            dinv_log(DINV_LOG_INFO, "waiting for %s", state.waiting_for);
        }
    } else if (state.spinner_step <= SPINNER_STEPS ||
               state.spinner_step % SPINNER_LATE_STEPS == 1) {
        draw_spinner();
    }
    return G_SOURCE_CONTINUE;
}

void dinv_log(DinvLogLevel level, const char *format, ...) {
    static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
    va_list arguments;
    if (level > state.level) {
        return;
    }
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (level == DINV_LOG_ERROR) {
        g_free(state.last_error);
        state.last_error = g_strdup(text);
    }
    erase_spinner();
    (void)fprintf(stderr, "dinv: [%6.1fs] %s%s\n", dinv_log_elapsed(), prefixes[level], text);
    (void)fflush(stderr);
}

const char *dinv_log_get_last_error(void) {
    return state.last_error;
}

void dinv_log_waiting_for(const char *what) {
    erase_spinner();
    g_clear_handle_id(&state.spinner_source, g_source_remove);
    g_free(state.waiting_for);
    state.waiting_for = g_strdup(what);
    state.said = FALSE;
    state.spinner_step = 0;
    if (what == NULL || !state.progress) {
        return;
    }
    if (state.terminal) {
        state.spinner_source = g_timeout_add(SPINNER_INTERVAL_MS, log_on_spinner_due, NULL);
    } else {
        dinv_log(DINV_LOG_INFO, "waiting for %s", what);
    }
}

/* Control characters, marks that turn the direction of writing, other ends of lines. */
static gboolean is_invisible(gunichar c) {
    GUnicodeType type = g_unichar_type(c);
    return type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT ||
           type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR;
}

char *dinv_log_printable(const char *text) {
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);
    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c == '\n' || c == '\t' || !is_invisible(c)) {
            g_string_append_unichar(out, c);
        } else if (c != '\r') {
            g_string_append_printf(out, c < 256 ? "\\x%02x" : "\\u{%04x}", c);
        }
    }
    return g_string_free(out, FALSE);
}

char *dinv_log_printable_line(const char *text) {
    g_autofree char *beginning = g_strndup(text, LINE_MAX_BYTES);
    char *line = dinv_log_printable(beginning);
    g_strdelimit(line, "\n", ' ');
    return g_strchomp(line);
}

/* SPDX-License-Identifier: MIT */
/*
 * The launcher's log for people: one line a message on stderr, with the seconds since the start. On
 * a terminal the thing now waited for stands in a last line with a spinner; elsewhere every step is
 * a plain line. Process-wide, used from the main thread only.
 *
 * The room launcher/base: what any program could use, such as the log, files, sockets, watches and
 * JSON text. It knows nothing of dinv: no setting, no machine and no engine enters it, and it
 * includes no other room.
 */
#pragma once

#include <glib.h>

typedef enum { DINV_LOG_ERROR, DINV_LOG_WARNING, DINV_LOG_INFO, DINV_LOG_DEBUG } DinvLogLevel;

/* Sets the start of time. Lines above `level` are dropped. */
void dinv_log_start(DinvLogLevel level);
/* Starts the log with warnings and errors only; what is waited for is shown all the same on a
 * terminal. */
void dinv_log_start_quiet(void);

/* Seconds since dinv_log_start(). */
double dinv_log_elapsed(void);

/* Writes one message; the format has no newline at its end. Blocks while stderr takes nothing. */
void dinv_log(DinvLogLevel level, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The last message of level error, NULL if there was none. Borrowed until the next one. */
const char *dinv_log_get_last_error(void);

/* Says what is being waited for, until the next call; NULL: nothing. When stderr is a terminal that
 * somebody looks at, the line is drawn by a timer of the default GMainContext, twice a second and
 * later less often, with a spinner that turns; else it is said once. */
void dinv_log_waiting_for(const char *what);

/* A copy of untrusted text that is safe on a terminal: control characters but tab and newline, and
 * characters that show nothing but change how others are shown, become \xNN or \u{NNNN}; carriage
 * returns go, invalid UTF-8 is replaced. Transfer full. */
char *dinv_log_printable(const char *text);

/* A copy of untrusted text as one printable line (dinv_log_printable) of at most 1 KiB: a newline
 * would let the text pass for a message of ours. Transfer full. */
char *dinv_log_printable_line(const char *text);

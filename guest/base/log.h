/* SPDX-License-Identifier: MIT */
/*
 * The room guest/base: what every room of dinv-guest, process 1 of the microVM, stands on: the
 * log, the one epoll loop, processes, small files, lines of JSON. Nothing that knows what the
 * machine is for may enter, no GLib, no threads. Errors are negative errno values; text about them
 * goes to the log.
 *
 * log.h: lines for a person, on the console and (from the sink's level on) to the launcher.
 */
#pragma once

typedef enum {
    DINV_LOG_ERROR,
    DINV_LOG_WARNING,
    DINV_LOG_INFO,
    DINV_LOG_DEBUG,
} DinvGuestLogLevel;

/* The name of a level in the control protocol. */
const char *dinv_guest_log_level_name(DinvGuestLogLevel level);

/* Writes one line to standard error (the console) and hands it to the sink. Never fails; the text
 * is cut at 1 KiB between two characters, control characters and what is not UTF-8 are replaced. */
void dinv_guest_log(DinvGuestLogLevel level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Where lines of level `info` and above go besides the console; NULL for nowhere. The sink may log
 * itself: such lines reach the console only. */
typedef void (*DinvGuestLogSink)(void *user, DinvGuestLogLevel level, const char *text);
void dinv_guest_log_set_sink(DinvGuestLogSink sink, void *user);

#define dinv_log_error(...)   dinv_guest_log(DINV_LOG_ERROR, __VA_ARGS__)
#define dinv_log_warning(...) dinv_guest_log(DINV_LOG_WARNING, __VA_ARGS__)
#define dinv_log_info(...)    dinv_guest_log(DINV_LOG_INFO, __VA_ARGS__)

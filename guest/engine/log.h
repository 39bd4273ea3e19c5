/* SPDX-License-Identifier: MIT */
/*
 * log: what dockerd prints, kept bounded in two files: the current one and the one before
 * it. A position is the number of bytes ever written before it; a reader that was overtaken goes on
 * at the oldest byte kept.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct DinvEngineLog DinvEngineLog;

/* `path` is the current file, `path`.1 the one before; both are made anew. Each holds at most
 * `file_size` bytes. NULL with errno. */
DinvEngineLog *dinv_engine_log_new(const char *path, uint64_t file_size);
void dinv_engine_log_free(DinvEngineLog *log);

/* Appends; rotates when the current file is full. Bytes that cannot be written are lost, said once
 * in the agent's log. Calls the listeners. */
void dinv_engine_log_append(DinvEngineLog *log, const void *bytes, size_t len);

/* The position of the first of the last `lines` lines kept: for 0 the end. */
uint64_t dinv_engine_log_find_tail(const DinvEngineLog *log, uint64_t lines);

/* Reads up to `cap` bytes at *position and moves it past them. The number, 0 at the end, -errno. */
ssize_t dinv_engine_log_read(const DinvEngineLog *log, uint64_t *position, void *bytes, size_t cap);

/* The last `lines` lines, at most `max` bytes of them, and as valid UTF-8 (guest/base/utf8.h): no
 * character at the cut is split, what was not UTF-8 is replaced. The caller's to free; NULL if out
 * of memory. */
char *dinv_engine_log_get_tail(const DinvEngineLog *log, uint64_t lines, size_t max);

/* Called after every append. 0 or -ENOMEM. A listener may remove itself, and only itself. */
typedef void (*DinvEngineLogListener)(void *user);
int dinv_engine_log_add_listener(DinvEngineLog *log, DinvEngineLogListener listener, void *user);
void dinv_engine_log_remove_listener(DinvEngineLog *log, DinvEngineLogListener listener,
                                     void *user);

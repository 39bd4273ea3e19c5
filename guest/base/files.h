/* SPDX-License-Identifier: MIT */
/*
 * files: the few things the agent does with small files of /proc, /sys and /etc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads the whole of a small file into `text` (NUL-terminated; cut at cap - 1 bytes). Its length,
 * or -errno. */
ssize_t dinv_file_read(const char *path, char *text, size_t cap);
/* The same for a file of any size up to `max`: *text is the caller's to free. -EFBIG beyond. */
ssize_t dinv_file_read_all(const char *path, char **text, size_t max);
/* Writes `text` into an existing file such as one of /proc/sys, in one write. 0 or -errno. */
int dinv_file_write(const char *path, const char *text);
/* Makes or replaces an ordinary file (mode 0644): a reader sees the old or the new content. */
int dinv_file_replace(const char *path, const char *text);
/* The same with another mode. */
int dinv_file_replace_with_mode(const char *path, const char *text, mode_t mode);
/* Makes a directory and what is missing above it (mode 0755). 0 also if it exists. */
int dinv_make_directories(const char *path);

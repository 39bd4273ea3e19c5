/* SPDX-License-Identifier: MIT */
/*
 * files: the few things the agent does with small files of /proc, /sys and /etc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads a small file into `text` (NUL-terminated; cut at cap - 1 bytes). Its length, or -errno. */
ssize_t dinv_file_read(const char *path, char *text, size_t cap);
/* Reads a whole file of up to `max` bytes; *text is NUL-terminated, the caller's to free. Its
 * length, or -errno: -EFBIG if it is larger. */
ssize_t dinv_file_read_all(const char *path, char **text, size_t max);
/* Writes `text` into an existing file such as one of /proc/sys, in one write. 0 or -errno. */
int dinv_file_write(const char *path, const char *text);
/* Makes or replaces an ordinary file (mode 0644): a reader sees the old or the new content. 0 or
 * -errno. */
int dinv_file_replace(const char *path, const char *text);
/* Like dinv_file_replace(), but the file gets `mode`, whatever the umask. */
int dinv_file_replace_with_mode(const char *path, const char *text, mode_t mode);
/* The same with any bytes. */
int dinv_file_replace_bytes(const char *path, const void *bytes, size_t len, mode_t mode);
/* Makes a directory and what is missing above it (mode 0755). 0 also if it exists. */
int dinv_make_directories(const char *path);
/* The same for the directory that `path`, an absolute one, lies in. */
int dinv_make_parents(const char *path);

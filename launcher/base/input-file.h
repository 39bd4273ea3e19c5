/* SPDX-License-Identifier: MIT */
/* Reading what the user put somewhere: bounded, and never stuck on something that is no file. */
#pragma once

#include <gio/gio.h>

/* The whole of a regular file of at most `max_bytes`, with a NUL behind it that *length does not
 * count. Blocks for as long as the disk takes. NULL with a G_IO_ERROR (NOT_FOUND when it is not
 * there) whose message reads on from the file's name: "is a directory". Transfer full. */
char *dinv_input_file_read(const char *path, gsize max_bytes, gsize *length, GError **error);

/* The names (char *) in a directory, sorted; empty if it cannot be read. Transfer full. */
GPtrArray *dinv_input_directory_list(const char *path);

/* SPDX-License-Identifier: MIT */
/* Where the machine has its files for the time that it is there. */
#pragma once

#include <glib.h>

/* Makes a directory in `state_dir`, where users' disks are, if that is there and may be written to,
 * else in the one for temporary files. Its path (absolute; transfer full), or NULL. */
char *dinv_bench_directory_make(const char *state_dir, GError **error);

/* Removes it with all that is in it, following no symbolic link. FALSE if something stays. */
gboolean dinv_bench_directory_remove(const char *path, GError **error);

/* The kind of file system that `path` is on, a name or a number in hexadecimal. Transfer full. */
char *dinv_bench_file_system(const char *path);

/* SPDX-License-Identifier: MIT */
/* Directories that may not be there yet, and names in them that have to last. */
#pragma once

#include <glib.h>

/* `path` (absolute) itself, or the nearest directory above it, whichever exists: where it is
 * decided whether `path` can be made. Transfer full. */
char *dinv_directory_nearest(const char *path);

/* `path` (absolute) without symbolic links, as far as it is there yet; what is missing stays as it
 * is written. Transfer full. */
char *dinv_directory_resolve(const char *path);

/* Writes the directory's entries to the disk, so that a name that was made or changed in it is
 * there after a crash. Blocks for as long as the disk takes. A file system that cannot do it, or
 * has no such directory, is no error: what was written to the file itself is safe either way. */
void dinv_directory_sync(const char *path);

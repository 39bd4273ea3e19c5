/* SPDX-License-Identifier: MIT */
/*
 * output: a file that appears whole or not at all. It is made without a name in the directory of
 * its path (where the file system cannot do that: under a temporary name), and gets its name when
 * it is complete and on the disk. A crash or a full disk before that leaves nothing behind (a crash
 * alone, and only where a temporary name was needed, leaves the temporary).
 */
#pragma once

#include "ext4/error.h"

typedef struct DinvExt4Output DinvExt4Output;

/* Opens an empty file for the directory of `path`, with permissions `mode` (umask applies). */
DinvExt4Output *dinv_ext4_output_new(const char *path, mode_t mode, GError **error);
/* As dinv_ext4_output_new() does on a file system without O_TMPFILE, by way of a temporary name:
 * for tests, which cannot count on finding such a file system. */
DinvExt4Output *dinv_ext4_output_new_named(const char *path, mode_t mode, GError **error);
/* Open for reading and writing; stays owned by the output. */
int dinv_ext4_output_get_fd(const DinvExt4Output *output);
/* fsyncs the file, gives it its name, and fsyncs the directory. Without `replace` an existing file
 * is left alone: DINV_EXT4_IMAGE_ERROR_EXISTS. Blocks for as long as the disk needs. */
gboolean dinv_ext4_output_publish(DinvExt4Output *output, gboolean replace,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Drops what was not published. */
void dinv_ext4_output_free(DinvExt4Output *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvExt4Output, dinv_ext4_output_free)

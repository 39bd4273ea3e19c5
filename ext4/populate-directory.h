/* SPDX-License-Identifier: MIT */
/*
 * populate-directory: lays a directory tree of this machine over a tree: types, permissions,
 * owners, times, hard links, symbolic links as such, device nodes, extended attributes (but
 * security.selinux, which is this machine's own), and holes. No symbolic link is followed, also not
 * a raced one.
 */
#pragma once

#include "ext4/populate-tar.h"

/* `path` becomes the root of the tree. `options` may be NULL. Blocks. */
gboolean dinv_ext4_populate_directory(DinvExt4Tree *tree, const char *path,
                                      const DinvExt4PopulateOptions *options,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The content of one file, from where `fd` stands at 0; `name` is for messages. */
DinvExt4Content *dinv_ext4_populate_read_file(DinvExt4Tree *tree, int fd, const char *name,
                                              GError **error);

/* SPDX-License-Identifier: MIT */
/*
 * populate-tar: lays a tar archive (ustar, GNU, pax; plain or compressed with gzip, bzip2, xz,
 * lzma, zstd) over a tree. Owners are numeric, names of users are not looked up. The archive is
 * untrusted.
 */
#pragma once

#include "ext4/tree.h"

typedef struct {
    gboolean force_root_owner; /* every entry belongs to 0:0 */
} DinvExt4PopulateOptions;

/* Reads `fd` from where it stands to its end; the fd stays open and the caller's. `name` is for
 * messages. `options` may be NULL. On failure the tree holds the entries before the bad one.
 * Blocks. */
gboolean dinv_ext4_populate_tar(DinvExt4Tree *tree, int fd, const char *name,
                                const DinvExt4PopulateOptions *options,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SPDX-License-Identifier: MIT */
/*
 * spool: the contents of files on their way from an archive into an image, kept in a file without a
 * name. Contents are cut into blocks; a block of zeros is a hole and takes no place.
 */
#pragma once

#include "ext4/error.h"

#define DINV_EXT4_SPOOL_BLOCK ((gsize)4096)
/* The largest file: ext4 counts blocks of a file in 32 bits. */
#define DINV_EXT4_CONTENT_SIZE_MAX ((guint64)G_MAXUINT32 * DINV_EXT4_SPOOL_BLOCK)

typedef struct DinvExt4Spool DinvExt4Spool;

/* `count` blocks of a file, from block `file_block` on, stand at `spool_block` of the spool. */
typedef struct {
    guint64 file_block;
    guint64 spool_block;
    guint64 count;
} DinvExt4ContentRun;

typedef struct {
    guint64 size; /* bytes */
    GArray *runs; /* of DinvExt4ContentRun, by file_block, not overlapping */
} DinvExt4Content;

/* The spool file is made in `directory` (NULL: where g_get_tmp_dir() says). `limit_bytes` bounds
 * what is kept, 0 is no bound. */
DinvExt4Spool *dinv_ext4_spool_new(const char *directory, guint64 limit_bytes, GError **error);
void dinv_ext4_spool_free(DinvExt4Spool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvExt4Spool, dinv_ext4_spool_free)

/* One content at a time: begin, writes at growing offsets (what is left out is a hole), end. A
 * begin drops a content that was begun and not ended. */
void dinv_ext4_spool_begin(DinvExt4Spool *spool);
gboolean dinv_ext4_spool_write(DinvExt4Spool *spool, guint64 offset, const void *bytes,
                               gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* `size` is that of the whole file, at least the end of the last write. */
DinvExt4Content *dinv_ext4_spool_end(DinvExt4Spool *spool, guint64 size, GError **error);
void dinv_ext4_content_free(DinvExt4Content *content);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvExt4Content, dinv_ext4_content_free)

/* Reads blocks back, with no content begun. */
gboolean dinv_ext4_spool_read(DinvExt4Spool *spool, guint64 spool_block, gsize count, void *buffer,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A copy of the SHA-256 state over every block kept so far, in order. The caller frees it. */
GChecksum *dinv_ext4_spool_checksum(const DinvExt4Spool *spool);

/* SPDX-License-Identifier: MIT */
/*
 * spool: the contents of files on their way from an archive into an image, kept in a file without a
 * name. Contents are cut into blocks; a block of zeros is a hole and takes no place.
 */
#pragma once

#include "images/error.h"

#define DINV_SPOOL_BLOCK ((gsize)4096)
/* The largest file: ext4 counts blocks of a file in 32 bits. */
#define DINV_CONTENT_SIZE_MAX ((guint64)G_MAXUINT32 * DINV_SPOOL_BLOCK)

typedef struct DinvSpool DinvSpool;

/* `count` blocks of a file, from block `file_block` on, stand at `spool_block` of the spool. */
typedef struct {
    guint64 file_block;
    guint64 spool_block;
    guint64 count;
} DinvContentRun;

typedef struct {
    guint64 size; /* bytes */
    GArray *runs; /* of DinvContentRun, by file_block, not overlapping */
} DinvContent;

/* The spool file is made in `directory` (NULL: where g_get_tmp_dir() says). `limit_bytes` bounds
 * what is kept, 0 is no bound. */
DinvSpool *dinv_spool_new(const char *directory, guint64 limit_bytes, GError **error);
void dinv_spool_free(DinvSpool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvSpool, dinv_spool_free)

/* One content at a time: begin, writes at growing offsets (what is left out is a hole), end. A
 * begin drops a content that was begun and not ended. */
void dinv_spool_begin(DinvSpool *spool);
gboolean dinv_spool_write(DinvSpool *spool, guint64 offset, const void *bytes, gsize length,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* `size` is that of the whole file, at least the end of the last write. */
DinvContent *dinv_spool_end(DinvSpool *spool, guint64 size, GError **error);
void dinv_content_free(DinvContent *content);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvContent, dinv_content_free)

/* Reads blocks back, with no content begun. */
gboolean dinv_spool_read(DinvSpool *spool, guint64 spool_block, gsize count, void *buffer,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A copy of the SHA-256 state over every block kept so far, in order. The caller frees it. */
GChecksum *dinv_spool_checksum(const DinvSpool *spool);

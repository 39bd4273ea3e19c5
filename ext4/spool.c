/* SPDX-License-Identifier: MIT */
/* spool: contents in blocks, appended to a file without a name, see spool.h. */
#include "ext4/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BLOCKS 256u

struct DinvExt4Spool {
    int fd;
    guint64 limit_blocks;
    guint64 blocks; /* kept so far: those in the file, then those in the buffer */
    guint8 *buffer;
    gsize buffered; /* blocks in the buffer */
    GChecksum *checksum;
    /* The content that was begun. */
    DinvExt4Content *content;
    guint64 position; /* end of the last write */
    gboolean partial; /* `block` holds bytes of file block `partial_index` */
    guint64 partial_index;
    guint8 *block;
};

static int open_spool_file(const char *directory, GError **error) {
    int fd = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_autofree char *name = g_build_filename(directory, ".dinv-spool-XXXXXX", NULL);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd < 0) {
            dinv_ext4_image_set_errno(error, errno, "cannot make a temporary file in \"%s\"",
                                      directory);
            return -1;
        }
        (void)unlink(name);
    }
    return fd;
}

DinvExt4Spool *dinv_ext4_spool_new(const char *directory, guint64 limit_bytes, GError **error) {
    int fd = open_spool_file(directory != NULL ? directory : g_get_tmp_dir(), error);
    if (fd < 0) {
        return NULL;
    }
    DinvExt4Spool *spool = g_new0(DinvExt4Spool, 1);
    spool->fd = fd;
    spool->limit_blocks = limit_bytes == 0 ? G_MAXUINT64 : limit_bytes / DINV_EXT4_SPOOL_BLOCK;
    spool->buffer = g_malloc(BUFFER_BLOCKS * DINV_EXT4_SPOOL_BLOCK);
    spool->block = g_malloc(DINV_EXT4_SPOOL_BLOCK);
    spool->checksum = g_checksum_new(G_CHECKSUM_SHA256);
    return spool;
}

void dinv_ext4_spool_free(DinvExt4Spool *spool) {
    g_clear_pointer(&spool->content, dinv_ext4_content_free);
    g_checksum_free(spool->checksum);
    g_free(spool->buffer);
    g_free(spool->block);
    close(spool->fd);
    g_free(spool);
}

void dinv_ext4_content_free(DinvExt4Content *content) {
    g_array_unref(content->runs);
    g_free(content);
}

static gboolean flush_buffer(DinvExt4Spool *spool, GError **error) {
    guint64 first = spool->blocks - spool->buffered;
    gsize length = spool->buffered * DINV_EXT4_SPOOL_BLOCK;
    for (gsize done = 0; done < length;) {
        ssize_t wrote = pwrite(spool->fd, spool->buffer + done, length - done,
                               (off_t)(first * DINV_EXT4_SPOOL_BLOCK + done));
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            dinv_ext4_image_set_errno(error, errno, "cannot write a temporary file");
            return FALSE;
        }
        done += (gsize)wrote;
    }
    spool->buffered = 0;
    return TRUE;
}

static gboolean is_zero(const guint8 *block) {
    return block[0] == 0 && memcmp(block, block + 1, DINV_EXT4_SPOOL_BLOCK - 1) == 0;
}

static gboolean keep_block(DinvExt4Spool *spool, guint64 file_block, const guint8 *block,
                           GError **error) {
    if (is_zero(block)) {
        return TRUE;
    }
    if (spool->blocks >= spool->limit_blocks) {
        g_autofree char *limit =
            dinv_ext4_image_size_text(spool->limit_blocks * DINV_EXT4_SPOOL_BLOCK);
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL,
                    "the contents are larger than the limit of %s", limit);
        return FALSE;
    }
    if (spool->buffered == BUFFER_BLOCKS && !flush_buffer(spool, error)) {
        return FALSE;
    }
    memcpy(spool->buffer + spool->buffered * DINV_EXT4_SPOOL_BLOCK, block, DINV_EXT4_SPOOL_BLOCK);
    g_checksum_update(spool->checksum, block, DINV_EXT4_SPOOL_BLOCK);
    spool->buffered++;
    GArray *runs = spool->content->runs;
    DinvExt4ContentRun *last =
        runs->len > 0 ? &g_array_index(runs, DinvExt4ContentRun, runs->len - 1) : NULL;
    if (last != NULL && last->file_block + last->count == file_block) {
        last->count++; /* contiguous in the spool too: nothing else is written meanwhile */
    } else {
        DinvExt4ContentRun run = {file_block, spool->blocks, 1};
        g_array_append_val(runs, run);
    }
    spool->blocks++;
    return TRUE;
}

static gboolean keep_partial(DinvExt4Spool *spool, GError **error) {
    if (!spool->partial) {
        return TRUE;
    }
    spool->partial = FALSE;
    return keep_block(spool, spool->partial_index, spool->block, error);
}

void dinv_ext4_spool_begin(DinvExt4Spool *spool) {
    g_clear_pointer(&spool->content, dinv_ext4_content_free);
    spool->content = g_new0(DinvExt4Content, 1);
    spool->content->runs = g_array_new(FALSE, FALSE, sizeof(DinvExt4ContentRun));
    spool->position = 0;
    spool->partial = FALSE;
}

gboolean dinv_ext4_spool_write(DinvExt4Spool *spool, guint64 offset, const void *bytes,
                               gsize length, GError **error) {
    g_return_val_if_fail(spool->content != NULL, FALSE);
    if (offset < spool->position) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "its parts overlap or are out of order");
        return FALSE;
    }
    if (offset > DINV_EXT4_CONTENT_SIZE_MAX || length > DINV_EXT4_CONTENT_SIZE_MAX - offset) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "it is larger than ext4 can hold (16 TiB)");
        return FALSE;
    }
    const guint8 *source = bytes;
    spool->position = offset + length;
    while (length > 0) {
        guint64 index = offset / DINV_EXT4_SPOOL_BLOCK;
        gsize within = (gsize)(offset % DINV_EXT4_SPOOL_BLOCK);
        gsize piece = MIN(length, DINV_EXT4_SPOOL_BLOCK - within);
        if (spool->partial && spool->partial_index != index && !keep_partial(spool, error)) {
            return FALSE;
        }
        if (piece == DINV_EXT4_SPOOL_BLOCK) {
            if (!keep_block(spool, index, source, error)) {
                return FALSE;
            }
        } else {
            if (!spool->partial) {
                memset(spool->block, 0, DINV_EXT4_SPOOL_BLOCK);
                spool->partial = TRUE;
                spool->partial_index = index;
            }
            memcpy(spool->block + within, source, piece);
        }
        offset += piece;
        source += piece;
        length -= piece;
    }
    return TRUE;
}

DinvExt4Content *dinv_ext4_spool_end(DinvExt4Spool *spool, guint64 size, GError **error) {
    g_return_val_if_fail(spool->content != NULL, NULL);
    g_autoptr(DinvExt4Content) content = NULL;
    gboolean kept = keep_partial(spool, error);
    content = g_steal_pointer(&spool->content);
    if (!kept) {
        return NULL;
    }
    if (size < spool->position) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "it has more content than its size says");
        return NULL;
    }
    if (size > DINV_EXT4_CONTENT_SIZE_MAX) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "it is larger than ext4 can hold (16 TiB)");
        return NULL;
    }
    content->size = size;
    return g_steal_pointer(&content);
}

gboolean dinv_ext4_spool_read(DinvExt4Spool *spool, guint64 spool_block, gsize count, void *buffer,
                              GError **error) {
    g_return_val_if_fail(spool_block + count <= spool->blocks, FALSE);
    if (!flush_buffer(spool, error)) {
        return FALSE;
    }
    gsize length = count * DINV_EXT4_SPOOL_BLOCK;
    for (gsize done = 0; done < length;) {
        ssize_t got = pread(spool->fd, (guint8 *)buffer + done, length - done,
                            (off_t)(spool_block * DINV_EXT4_SPOOL_BLOCK + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            dinv_ext4_image_set_errno(error, got < 0 ? errno : EIO, "cannot read a temporary file");
            return FALSE;
        }
        done += (gsize)got;
    }
    return TRUE;
}

GChecksum *dinv_ext4_spool_checksum(const DinvExt4Spool *spool) {
    return g_checksum_copy(spool->checksum);
}

/* SPDX-License-Identifier: MIT */
/*
 * The copy of one file of the outer container, that the guest has instead of it. Knows no loop:
 * what blocks here is called from threads (files.c), which may use one copy at the same time as
 * long as only one of them updates it.
 */
#pragma once

#include <glib.h>

typedef struct DinvMountCopy DinvMountCopy;

typedef enum {
    DINV_MOUNT_COPY_DONE, /* the copy is as the file was */
    DINV_MOUNT_COPY_KEPT, /* the copy is byte for byte what it was before */
    DINV_MOUNT_COPY_TORN, /* writing failed midway, though there was room: neither old nor new */
} DinvMountCopyResult;

/* Makes the file `path`, empty and for its owner only, as the copy of `source`, which is not looked
 * at yet. The copy keeps its file open: whatever becomes of the name `path`, nothing else is ever
 * written to. NULL with a G_IO_ERROR. */
DinvMountCopy *dinv_mount_copy_new(const char *source, const char *path, GError **error);
DinvMountCopy *dinv_mount_copy_ref(DinvMountCopy *copy);
void dinv_mount_copy_unref(DinvMountCopy *copy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMountCopy, dinv_mount_copy_unref)

/* Reads the whole source, at most DINV_MOUNT_FILE_MAX bytes, into memory, and then writes content,
 * mode and, where this process may, owner to the copy, which stays the same inode. Blocks for as
 * long as the two file systems take, for ever if one hangs. A G_IO_ERROR unless DONE. */
DinvMountCopyResult dinv_mount_copy_update(DinvMountCopy *copy,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The source's path in text for people. Borrowed. */
const char *dinv_mount_copy_get_name(const DinvMountCopy *copy);

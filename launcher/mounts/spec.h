/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/mounts: directories and files of the outer container that the guest is to see.
 * Here it is said what a mount is, which of the outer container's are found by themselves (auto.h),
 * and how a single file is handed over (files.h). What serves a mount, and settings, may not enter.
 */
#pragma once

#include <glib.h>

/* A larger file is not shown in the guest by itself. */
#define DINV_MOUNT_FILE_MAX (16u << 20)

/* One directory or file of the outer container shown in the guest; absolute, normalised paths of
 * any bytes. */
typedef struct {
    char *source;
    char *target;
    gboolean readonly;
    gboolean is_file; /* known after preflight */
} DinvMountSpec;

/* NULL is ignored. */
void dinv_mount_spec_free(DinvMountSpec *mount);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvMountSpec, dinv_mount_spec_free)
/* Transfer full. */
DinvMountSpec *dinv_mount_spec_copy(const DinvMountSpec *mount);

/* What of the guest's own a mount on `target` would hide, a static string; NULL: nothing.
 * `strictly`: also what lies in the guest's system directories, where a user who asks for it may
 * mount a directory. */
const char *dinv_mount_hidden(const char *target, gboolean strictly);

/* A path as UTF-8 without control characters: these, what is not UTF-8, backslash, semicolon and
 * colon as \ooo. The parser of DINV_MOUNTS (launcher/settings/mounts.c) reads it back. Transfer
 * full. */
char *dinv_path_to_text(const char *path);

/* Whether the absolute, normalised `path` is `directory` or lies in it. */
gboolean dinv_path_is_within(const char *path, const char *directory);

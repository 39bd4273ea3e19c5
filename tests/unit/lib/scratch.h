/* SPDX-License-Identifier: MIT */
/* A directory of files for one test, removed with all that is in it. */
#pragma once

#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>

typedef struct {
    char *path;
} Scratch;

static inline void scratch_make(Scratch *scratch) {
    g_autoptr(GError) error = NULL;

    scratch->path = g_dir_make_tmp("dinv-test-XXXXXX", &error);
    g_assert_no_error(error);
}

/* A path in it; the caller frees it. */
static inline char *scratch_path(const Scratch *scratch, const char *name) {
    return g_build_filename(scratch->path, name, NULL);
}

/* Writes a file, and the directories above it. */
static inline void scratch_write(const Scratch *scratch, const char *name, const char *text) {
    g_autofree char *path = scratch_path(scratch, name);
    g_autofree char *directory = g_path_get_dirname(path);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
}

static inline int scratch_remove_one(const char *path, const struct stat *status G_GNUC_UNUSED,
                                     int kind G_GNUC_UNUSED, struct FTW *place G_GNUC_UNUSED) {
    return g_remove(path);
}

static inline void scratch_remove(Scratch *scratch) {
    g_assert_cmpint(nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
    g_clear_pointer(&scratch->path, g_free);
}

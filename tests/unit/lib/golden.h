/* SPDX-License-Identifier: MIT */
/*
 * Texts that are compared as a whole with a file below tests/unit/golden. After a wanted change
 * DINV_UPDATE_GOLDEN=1 writes the files anew; read the difference before you commit it.
 */
#pragma once

#include <glib.h>

/* `file` is in golden/FOLDER. */
static inline void golden_compare(const char *text, const char *folder, const char *file) {
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "golden", folder, file, NULL);
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(g_getenv("DINV_UPDATE_GOLDEN"), "1") == 0) {
        g_assert_true(g_file_set_contents(path, text, -1, &error));
    }
    g_autofree char *golden = NULL;
    g_assert_true(g_file_get_contents(path, &golden, NULL, &error));
    g_assert_cmpstr(text, ==, golden);
}

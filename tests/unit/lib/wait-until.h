/* SPDX-License-Identifier: MIT */
/* Waiting for a condition in the default GMainContext, with a deadline that no good test comes
 * near. */
#pragma once

#include <glib.h>
#include <stdlib.h>

#define GUARD_MS 90000u

static inline gboolean on_wait_guard(gpointer user G_GNUC_UNUSED) {
    g_test_fail_printf("the test's own deadline passed");
    abort();
}

/* Runs the loop until the condition holds. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        guint guard = g_timeout_add(GUARD_MS, on_wait_guard, NULL);                                \
        while (!(condition)) {                                                                     \
            g_main_context_iteration(NULL, TRUE);                                                  \
        }                                                                                          \
        g_source_remove(guard);                                                                    \
    } while (0)

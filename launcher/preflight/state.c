/* SPDX-License-Identifier: MIT */
/* The state directory and the disks in it. */
#include "launcher/state/directory.h"

#include "launcher/preflight/checks.h"

#define NAME DINV_PREFLIGHT_STATE_DIRECTORY

/* What to do about an error of dinv_state_check(), or NULL. Transfer full. */
static char *find_state_remedy(const GError *error) {
    if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IN_USE)) {
        return g_strdup("stop the other one, or set DINV_STATE_DIR to another directory");
    }
    if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED)) {
        return g_strdup("repair it with e2fsck; dinv run keeps it aside under another name");
    }
    if (g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_FAILED)) {
        return g_strdup("give the container a volume there (docker run -v NAME:/var/lib/dinv), "
                        "writable for the user it runs as");
    }
    return NULL;
}

void dinv_preflight_check_state_dir(const DinvConfig *config, DinvPreflight *result) {
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    DinvStateFindings state = {0};
    if (!dinv_state_check(config, &state, warnings, &error)) {
        result->disk_is_damaged =
            g_error_matches(error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED);
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_FAILED,
                                  g_strdup(error->message), find_state_remedy(error));
        return;
    }
    for (guint i = 0; i < warnings->len; i++) {
        dinv_preflight_report_add(result->report, NAME, DINV_PREFLIGHT_WARNING,
                                  g_strdup(warnings->pdata[i]), NULL);
    }
    if (warnings->len == 0) {
        dinv_preflight_report_add(
            result->report, NAME, DINV_PREFLIGHT_OK,
            g_strdup_printf("%s, %s, %" G_GUINT64_FORMAT " MiB free", config->state_dir,
                            state.image_exists ? "data disk is there" : "a data disk will be made",
                            state.free_bytes >> 20),
            NULL);
    }
}

/* SPDX-License-Identifier: MIT */
/* The list of what there could be, against what dinv-usernet has said. */
#include "launcher/plan/usernet.h"

static const char *const measures[] = {
    "no_new_privs", "capabilities", "seccomp", "landlock", "core", NULL,
};

static gboolean is_in_force(const DinvPlanFindings *findings, const char *measure) {
    if (findings->usernet_features == NULL) {
        return FALSE;
    }
    g_auto(GStrv) words = g_strsplit(findings->usernet_features, ",", -1);
    return g_strv_contains((const char *const *)words, measure);
}

char *dinv_plan_usernet_missing(const DinvPlanFindings *findings) {
    g_autoptr(GPtrArray) missing = g_ptr_array_new();
    for (guint i = 0; measures[i] != NULL; i++) {
        if (!is_in_force(findings, measures[i])) {
            g_ptr_array_add(missing, (gpointer)measures[i]);
        }
    }
    if (missing->len == 0) {
        return NULL;
    }
    g_ptr_array_add(missing, NULL);
    return g_strjoinv(", ", (char **)missing->pdata);
}

gboolean dinv_plan_usernet_is_caged(const DinvPlanFindings *findings) {
    return is_in_force(findings, "no_new_privs") && is_in_force(findings, "seccomp");
}

/* SPDX-License-Identifier: MIT */
/* Lists of what there could be, against what is in force. */
#include "launcher/plan/confinement.h"

static const char *const of_usernet[] = {
    "no_new_privs", "capabilities", "seccomp", "landlock", "core", NULL,
};
static const char *const of_uml[] = {
    "no_new_privs", "capabilities", "seccomp", "descriptors", "landlock", "scope", "core", NULL,
};

/* `features` is a comma list, or NULL: none. */
static gboolean is_in_force(const char *features, const char *measure) {
    if (features == NULL) {
        return FALSE;
    }
    g_auto(GStrv) words = g_strsplit(features, ",", -1);
    return g_strv_contains((const char *const *)words, measure);
}

static char *list_missing(const char *features, const char *const *measures) {
    g_autoptr(GPtrArray) missing = g_ptr_array_new();
    for (guint i = 0; measures[i] != NULL; i++) {
        if (!is_in_force(features, measures[i])) {
            g_ptr_array_add(missing, (gpointer)measures[i]);
        }
    }
    if (missing->len == 0) {
        return NULL;
    }
    g_ptr_array_add(missing, NULL);
    return g_strjoinv(", ", (char **)missing->pdata);
}

char *dinv_plan_usernet_missing(const DinvPlanFindings *findings) {
    return list_missing(findings->usernet_features, of_usernet);
}

gboolean dinv_plan_usernet_is_caged(const DinvPlanFindings *findings) {
    return is_in_force(findings->usernet_features, "no_new_privs") &&
           is_in_force(findings->usernet_features, "seccomp");
}

char *dinv_plan_uml_missing(const DinvPlanFindings *findings) {
    return list_missing(findings->uml.confinement, of_uml);
}

gboolean dinv_plan_uml_is_caged(const DinvPlanFindings *findings) {
    const char *features = findings->uml.confinement;
    /* One that opens files is held back from others only by Landlock. */
    return is_in_force(features, "no_new_privs") && is_in_force(features, "seccomp") &&
           (is_in_force(features, "descriptors") || is_in_force(features, "landlock"));
}

/* SPDX-License-Identifier: MIT */
/* Names as they are written, and how far apart two of them are (Levenshtein's distance). */
#include "launcher/settings/names.h"

#include <string.h>

/* Letters to add, take or replace that a slip of the pen may be. */
#define MISSPELT_DISTANCE 2u

char *dinv_setting_flag(const DinvSetting *setting) {
    g_autofree char *lower = g_ascii_strdown(setting->name + strlen("DINV_"), -1);
    return g_strconcat("--", g_strdelimit(lower, "_", '-'), NULL);
}

char *dinv_setting_argument(const DinvSetting *setting) {
    if (setting->choices == NULL) {
        return g_strdup(setting->argument);
    }
    return dinv_settings_join_choices(setting->choices, "|");
}

const char *dinv_setting_default(const DinvSetting *setting) {
    return setting->fallback != NULL ? setting->fallback : setting->fallback_shown;
}

/* Both are names; what is longer than 63 bytes is cut. */
static gsize edit_distance(const char *a, const char *b) {
    gsize row[64];
    gsize width = MIN(strlen(b), G_N_ELEMENTS(row) - 1);
    gsize height = MIN(strlen(a), G_N_ELEMENTS(row) - 1);
    for (gsize x = 0; x <= width; x++) {
        row[x] = x;
    }
    for (gsize y = 1; y <= height; y++) {
        gsize diagonal = row[0];
        row[0] = y;
        for (gsize x = 1; x <= width; x++) {
            gsize replaced = diagonal + (a[y - 1] == b[x - 1] ? 0 : 1);
            diagonal = row[x];
            row[x] = MIN(replaced, MIN(row[x], row[x - 1]) + 1);
        }
    }
    return row[width];
}

/* The nearest name, a new string, and how far away it is. */
static char *find_nearest(const char *name, gboolean as_flag, gsize *nearest_distance) {
    g_autofree char *nearest = NULL;
    gsize distance = G_MAXSIZE;
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *known = as_flag ? dinv_setting_flag(setting) : g_strdup(setting->name);
        gsize this_distance = edit_distance(name, known);
        if (this_distance < distance) {
            distance = this_distance;
            g_free(nearest);
            nearest = g_steal_pointer(&known);
        }
    }
    *nearest_distance = distance;
    return g_steal_pointer(&nearest);
}

char *dinv_settings_nearest_name(const char *name, gboolean as_flag) {
    gsize distance = 0;
    return find_nearest(name, as_flag, &distance);
}

gboolean dinv_setting_flag_exists(const char *flag) {
    gsize distance = 0;
    g_free(find_nearest(flag, TRUE, &distance));
    return distance == 0;
}

gboolean dinv_setting_flag_is_misspelt(const char *flag) {
    static const char *const of_dockerd[] = {"--ip", "--init", NULL}; /* near --bip, --initrd */
    gsize distance = 0;
    g_free(find_nearest(flag, TRUE, &distance));
    return distance > 0 && distance <= MISSPELT_DISTANCE && !g_strv_contains(of_dockerd, flag);
}

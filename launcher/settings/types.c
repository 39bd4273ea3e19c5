/* SPDX-License-Identifier: MIT */
/* The errors of all parsers, and choices. */
#include "launcher/settings/types.h"

#include <string.h>

G_DEFINE_QUARK(dinv - settings - error - quark, dinv_settings_error)

char *dinv_settings_join_choices(const DinvSettingChoice *choices, const char *separator) {
    g_autoptr(GString) list = g_string_new(NULL);
    for (const DinvSettingChoice *choice = choices; choice->name != NULL; choice++) {
        g_string_append_printf(list, "%s%s", choice == choices ? "" : separator, choice->name);
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

gboolean dinv_settings_parse_choice(const char *text, const DinvSettingChoice *choices,
                                    guint *value, GError **error) {
    for (const DinvSettingChoice *choice = choices; choice->name != NULL; choice++) {
        if (strcmp(choice->name, text) == 0) {
            *value = choice->value;
            return TRUE;
        }
    }
    g_autofree char *list = dinv_settings_join_choices(choices, ", ");
    g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID, "\"%s\" is not one of %s",
                text, list);
    return FALSE;
}

/* SPDX-License-Identifier: MIT */
/* What dinv says of its verbs and settings. */
#include <string.h>

#include "launcher/cli/help.h"
#include "launcher/settings/names.h"

static void test_help(void) {
    g_autofree char *help = dinv_cli_help_text();
    g_auto(GStrv) lines = g_strsplit(help, "\n", -1);
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);
        g_assert_nonnull(strstr(help, setting->name));
        g_assert_nonnull(strstr(help, flag));
    }
    for (const DinvCliVerb *verb = dinv_cli_verbs_table(); verb->name != NULL; verb++) {
        g_autofree char *text = dinv_cli_help_verb_text(verb);
        g_assert_nonnull(strstr(text, verb->help));
        g_assert_true(dinv_cli_verb_find(verb->name) == verb);
    }
    g_assert_null(dinv_cli_verb_find("bogus"));
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_assert_cmpuint(strlen(lines[i]), <=, 80);
    }
}

/* Settings end before a verb's own flag, which must be none of theirs. */
static void test_verb_flags(void) {
    g_assert_true(dinv_cli_verb_has_flag("--json"));
    g_assert_true(dinv_cli_verb_has_flag("-f"));
    g_assert_false(dinv_cli_verb_has_flag("--cpus"));
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);
        g_assert_false(dinv_cli_verb_has_flag(flag));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/help", test_help);
    g_test_add_func("/settings/verb-flags", test_verb_flags);
    return g_test_run();
}

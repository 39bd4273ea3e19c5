/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. First the winning text of each setting is collected (given.c): its
 * environment variable, else the alias of it, then flags over both. Only the winner is parsed
 * (values.c), with the name it came by in front of any message. Then the rules are applied that
 * look at the machine or at several settings (rules.c).
 */
#include "launcher/settings/settings.h"

#include <string.h>

#include "launcher/base/text.h"
#include "launcher/settings/given.h"
#include "launcher/settings/rules.h"
#include "launcher/settings/table.h"
#include "launcher/settings/values.h"

/* Every setting as it is when nothing is given and the table has no default. */
static DinvConfig *config_new(const DinvHostLimits *limits) {
    DinvConfig *config = g_new0(DinvConfig, 1);
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        dinv_settings_value_init(setting, config);
    }
    config->cpus = dinv_host_limits_default_cpus(limits);
    config->memory_bytes = dinv_host_limits_default_memory(limits);
    return config;
}

/* Whether the text was given by the user. An empty one asks for the default, mostly. */
static gboolean is_given(const DinvSetting *setting, const DinvSettingsValue *value) {
    return value->text != NULL &&
           (value->text[0] != '\0' || (setting->flags & DINV_SETTING_TAKES_EMPTY) != 0);
}

/* Parses what was given for one setting, or its default. */
static gboolean parse_setting(const DinvSetting *setting, const DinvSettingsValue *value,
                              DinvConfig *config, GError **error) {
    const char *text = is_given(setting, value) ? value->text : setting->fallback;
    const char *origin = is_given(setting, value) ? value->origin : setting->name;
    if (text == NULL) {
        return TRUE;
    }
    /* Messages quote values, and the guest gets them as JSON. */
    if (!dinv_text_is_printable(text, "\t\n")) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "%s: the value is not UTF-8 or has control characters in it", origin);
        return FALSE;
    }
    if (!dinv_settings_value_parse(setting, text, config, error)) {
        g_prefix_error(error, "%s: ", origin);
        return FALSE;
    }
    return TRUE;
}

static gboolean apply_rule(const DinvSetting *setting, const DinvSettingsValue *value,
                           const DinvHostLimits *limits, GPtrArray *warnings, DinvConfig *config,
                           GError **error) {
    const DinvSettingsContext context = {
        .origin = is_given(setting, value) ? value->origin : setting->name,
        .is_given = is_given(setting, value),
        .limits = limits,
        .warnings = warnings,
    };
    return setting->rule == NULL || setting->rule(&context, config, error);
}

/* The whole config from what was given. */
static DinvConfig *config_from(const DinvSettingsGiven *given, const DinvHostLimits *limits,
                               GPtrArray *warnings, GError **error) {
    g_autoptr(DinvConfig) config = config_new(limits);
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        if (!parse_setting(setting, dinv_settings_given_get(given, setting), config, error)) {
            return NULL;
        }
    }
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        if (!apply_rule(setting, dinv_settings_given_get(given, setting), limits, warnings, config,
                        error)) {
            return NULL;
        }
    }
    if (!dinv_settings_apply_rules(config, error)) {
        return NULL;
    }
    return g_steal_pointer(&config);
}

gboolean dinv_settings_add_dockerd_arguments(DinvConfig *config, char *const *words, int count,
                                             GError **error) {
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    g_strv_builder_addv(all, (const char **)config->dockerd_args);
    for (int i = 0; i < count; i++) {
        if (!dinv_text_is_printable(words[i], "")) {
            g_autofree char *shown = g_strescape(words[i], NULL);
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "the argument \"%s\" for dockerd is not UTF-8 "
                        "or has control characters in it",
                        shown);
            return FALSE;
        }
        g_strv_builder_add(all, words[i]);
    }
    g_strfreev(config->dockerd_args);
    config->dockerd_args = g_strv_builder_end(all);
    return TRUE;
}

DinvConfig *dinv_settings_load_with_limits(const char *const *environment, int *argc, char ***argv,
                                           DinvSettingsIsForeign is_foreign,
                                           const DinvHostLimits *limits, GPtrArray *warnings,
                                           GError **error) {
    g_autoptr(DinvSettingsGiven) given = dinv_settings_given_new();
    dinv_settings_given_take_environment(given, environment, warnings);
    int taken = dinv_settings_given_take_flags(given, *argc, *argv, is_foreign, error);
    if (taken < 0) {
        return NULL;
    }
    DinvConfig *config = config_from(given, limits, warnings, error);
    if (config == NULL) {
        return NULL;
    }
    *argc -= taken;
    *argv += taken;
    return config;
}

DinvConfig *dinv_settings_load(const char *const *environment, int *argc, char ***argv,
                               DinvSettingsIsForeign is_foreign, GPtrArray *warnings,
                               GError **error) {
    DinvHostLimits limits;
    dinv_host_limits_read("", &limits);
    return dinv_settings_load_with_limits(environment, argc, argv, is_foreign, &limits, warnings,
                                          error);
}

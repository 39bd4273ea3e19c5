/* SPDX-License-Identifier: MIT */
/* Collects the winning text of each setting from the environment and from flags. */
#include "launcher/settings/given.h"

#include <string.h>

#include "launcher/settings/names.h"

struct DinvSettingsGiven {
    gsize count;
    DinvSettingsValue *values; /* in the table's order */
};

DinvSettingsGiven *dinv_settings_given_new(void) {
    DinvSettingsGiven *given = g_new0(DinvSettingsGiven, 1);
    while (dinv_settings_table()[given->count].name != NULL) {
        given->count++;
    }
    given->values = g_new0(DinvSettingsValue, given->count);
    return given;
}

void dinv_settings_given_free(DinvSettingsGiven *given) {
    for (gsize i = 0; i < given->count; i++) {
        g_free(given->values[i].origin);
        g_free(given->values[i].text);
    }
    g_free(given->values);
    g_free(given);
}

static DinvSettingsValue *value_of(const DinvSettingsGiven *given, const DinvSetting *setting) {
    return &given->values[setting - dinv_settings_table()];
}

const DinvSettingsValue *dinv_settings_given_get(const DinvSettingsGiven *given,
                                                 const DinvSetting *setting) {
    return value_of(given, setting);
}

static void give(DinvSettingsValue *value, const char *origin, const char *text) {
    g_free(value->origin);
    g_free(value->text);
    value->origin = g_strdup(origin);
    value->text = g_strdup(text);
}

/* Variables that look like settings and are none, but belong to the tests, or tell a job that it is
 * one. */
static gboolean is_known_variable(const char *name) {
    static const char *const names[] = {"DINV_MUST_WORK", "DINV_BUILD_ROOT", "DINV_SOURCE_ROOT",
                                        "DINV_JOB", NULL};
    return g_strv_contains(names, name);
}

/* Whether this is a job of a CI system, or a service of one that got the job's variables. */
static gboolean is_ci(const char *const *environment) {
    static const char *const no[] = {"", "0", "false", NULL};
    const char *value = g_environ_getenv((char **)environment, "CI");
    return value != NULL && !g_strv_contains(no, value);
}

/* Takes the variable if it is a setting or the older name of one; FALSE if it is neither. */
static gboolean take_variable(DinvSettingsGiven *given, const char *name, const char *text,
                              gboolean in_ci, GPtrArray *warnings) {
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        gboolean is_name = strcmp(name, setting->name) == 0;
        if (!is_name && g_strcmp0(name, setting->alias) != 0) {
            continue;
        }
        if (*text == '\0' && (setting->flags & DINV_SETTING_TAKES_EMPTY) == 0) {
            return TRUE; /* as if it were not set */
        }
        if (!is_name && in_ci && (setting->flags & DINV_SETTING_ALIAS_NOT_IN_CI) != 0) {
            g_ptr_array_add(warnings,
                            g_strdup_printf("%s is ignored where CI is set, as it may be a job's "
                                            "own; set %s if it is meant for dinv",
                                            name, setting->name));
            return TRUE;
        }
        DinvSettingsValue *value = value_of(given, setting);
        if (value->origin != NULL && strcmp(value->text, text) != 0) {
            g_ptr_array_add(warnings, g_strdup_printf("%s is set too, ignoring %s", setting->name,
                                                      setting->alias));
        }
        if (is_name || value->origin == NULL) {
            give(value, name, text);
        }
        return TRUE;
    }
    return FALSE;
}

/* Takes the variable if it is one of docker-in-docker images and nothing else was given. */
static void take_foreign_variable(DinvSettingsGiven *given, const char *name, const char *text) {
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        DinvSettingsValue *value = value_of(given, setting);
        if (value->origin != NULL || *text == '\0' || g_strcmp0(name, setting->foreign.name) != 0) {
            continue;
        }
        g_autofree char *translated = setting->foreign.translate(text);
        if (translated != NULL) {
            give(value, name, translated);
        }
    }
}

static void warn_of_unknown_variable(const char *name, GPtrArray *warnings) {
    if (!g_str_has_prefix(name, "DINV_") || is_known_variable(name)) {
        return;
    }
    g_autofree char *nearest = dinv_settings_nearest_name(name, FALSE);
    g_autofree char *shown = g_strescape(name, NULL);
    g_ptr_array_add(warnings, g_strdup_printf("%s is not a setting, ignoring it; did you mean %s?",
                                              shown, nearest));
}

void dinv_settings_given_take_environment(DinvSettingsGiven *given, const char *const *environment,
                                          GPtrArray *warnings) {
    gboolean in_ci = is_ci(environment);
    for (gsize i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        if (equals == NULL) {
            continue;
        }
        g_autofree char *name = g_strndup(environment[i], (gsize)(equals - environment[i]));
        if (!take_variable(given, name, equals + 1, in_ci, warnings)) {
            warn_of_unknown_variable(name, warnings);
        }
    }
    /* Only now is it known what dinv's own names leave open. */
    for (gsize i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        if (equals != NULL) {
            g_autofree char *name = g_strndup(environment[i], (gsize)(equals - environment[i]));
            take_foreign_variable(given, name, equals + 1);
        }
    }
}

/* Takes the flag at words[0]; returns how many words it was, 0 on failure. */
static int take_flag(DinvSettingsGiven *given, char **words, int count, GError **error) {
    const char *equals = strchr(words[0], '=');
    g_autofree char *name = g_strndup(words[0], strcspn(words[0], "="));
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);
        if (strcmp(name, flag) != 0) {
            continue;
        }
        if (equals == NULL && count < 2) {
            g_autofree char *argument = dinv_setting_argument(setting);
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_FLAG,
                        "%s: needs a value (%s)", name, argument);
            return 0;
        }
        give(value_of(given, setting), flag, equals == NULL ? words[1] : equals + 1);
        return equals == NULL ? 2 : 1;
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_HELP, "help was asked for");
        return 0;
    }
    g_autofree char *nearest = dinv_settings_nearest_name(name, TRUE);
    g_autofree char *shown = g_strescape(name, NULL);
    g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_FLAG,
                "%s: no such flag; did you mean %s?", shown, nearest);
    return 0;
}

int dinv_settings_given_take_flags(DinvSettingsGiven *given, int argc, char **argv,
                                   DinvSettingsIsForeign is_foreign, GError **error) {
    int taken = 0;
    while (taken < argc && argv[taken][0] == '-' && argv[taken][1] != '\0') {
        if (strcmp(argv[taken], "--") == 0) {
            return taken + 1;
        }
        if (is_foreign(argv[taken])) {
            break;
        }
        int words = take_flag(given, argv + taken, argc - taken, error);
        if (words == 0) {
            return -1;
        }
        taken += words;
    }
    return taken;
}

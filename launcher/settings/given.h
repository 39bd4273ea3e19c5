/* SPDX-License-Identifier: MIT */
/*
 * What was given for each setting: of all the variables and flags that name it, the text that wins
 * and the name it came by. Nothing is parsed here.
 */
#pragma once

#include "launcher/settings/settings.h"
#include "launcher/settings/table.h"

/* Both NULL: it was not given. */
typedef struct {
    char *origin; /* "DINV_CPUS", "--cpus" */
    char *text;
} DinvSettingsValue;

typedef struct DinvSettingsGiven DinvSettingsGiven;

DinvSettingsGiven *dinv_settings_given_new(void);
void dinv_settings_given_free(DinvSettingsGiven *given);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvSettingsGiven, dinv_settings_given_free)

/* Takes variables, "NAME=value" each, NULL-terminated: the setting's own name goes before its
 * alias, and that before the one of docker-in-docker images. Appends sentences (char*) about what
 * is ignored to `warnings`. */
void dinv_settings_given_take_environment(DinvSettingsGiven *given, const char *const *environment,
                                          GPtrArray *warnings);

/* Takes the flags at the front of argv, which win over what was given before. Returns how many
 * words they and their values were, with a "--" behind them; -1 on failure with
 * DINV_SETTINGS_ERROR_FLAG or _HELP. */
int dinv_settings_given_take_flags(DinvSettingsGiven *given, int argc, char **argv,
                                   DinvSettingsIsForeign is_foreign, GError **error);

/* Borrowed from `given`; never NULL. `setting` is one of the table. */
const DinvSettingsValue *dinv_settings_given_get(const DinvSettingsGiven *given,
                                                 const DinvSetting *setting);

/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/settings: what the user of dinv can set, from environment and flags to one
 * const DinvConfig. Texts are parsed, checked against one another and frozen here; what they name
 * in the machine (files, devices, networks) is not looked at, and nothing of the VM may enter.
 *
 * table.[ch] has a row for each setting, names.[ch] how they are written; given.[ch] collects the
 * texts, values.[ch] and types.h parse them, rules.[ch] has what holds between them.
 */
#pragma once

#include "launcher/host/limits.h"
#include "launcher/settings/config.h"
#include "launcher/settings/types.h"

/* Whether a word that looks like a flag is somebody else's, such as a verb's own "--json": settings
 * end before it. */
typedef gboolean (*DinvSettingsIsForeign)(const char *word);

/* Reads the settings: `environment` (NULL-terminated "NAME=value") first, then flags, which win.
 * *argv points to the first word to look at (program name and verb are behind it); *argc and *argv
 * are moved on to the first word that is no setting's flag or value (what `is_foreign` is true of
 * counts as such), past a "--". An empty value means the default, but of the directory for TLS.
 * Defaults of CPUs and memory come from the limits of this process. Appends sentences (char*) about
 * what was ignored to `warnings`. NULL with a DINV_SETTINGS_ERROR on failure; *argc and *argv are
 * then unchanged. Looks at files only for the limits, never at what the settings name. */
DinvConfig *dinv_settings_load(const char *const *environment, int *argc, char ***argv,
                               DinvSettingsIsForeign is_foreign, GPtrArray *warnings,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads the settings as dinv_settings_load() does, with the defaults that follow from `limits`;
 * looks at no file. */
DinvConfig *dinv_settings_load_with_limits(const char *const *environment, int *argc, char ***argv,
                                           DinvSettingsIsForeign is_foreign,
                                           const DinvHostLimits *limits, GPtrArray *warnings,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Adds words to what dockerd is started with. FALSE with DINV_SETTINGS_ERROR_INVALID, and `config`
 * unchanged, if one of them cannot be passed on. */
gboolean dinv_settings_add_dockerd_arguments(DinvConfig *config, char *const *words, int count,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

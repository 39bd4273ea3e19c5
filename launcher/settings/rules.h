/* SPDX-License-Identifier: MIT */
/*
 * What no parser of a single text can see: rules that look at the machine, at where a text came
 * from, or at several settings.
 */
#pragma once

#include "launcher/host/limits.h"
#include "launcher/settings/config.h"

/* One setting when all are parsed. */
typedef struct {
    const char *origin; /* the name that a message begins with: "DINV_CPUS", "--cpus" */
    gboolean is_given;  /* by the user, or the default */
    const DinvHostLimits *limits;
    GPtrArray *warnings; /* sentences (char*) */
} DinvSettingsContext;

/* A rule of one setting (DinvSetting.rule). It may settle fields of `config`; FALSE with a
 * DINV_SETTINGS_ERROR whose message begins with the origin. */
typedef gboolean (*DinvSettingRule)(const DinvSettingsContext *context, DinvConfig *config,
                                    GError **error);

gboolean dinv_settings_rule_cpus(const DinvSettingsContext *context, DinvConfig *config,
                                 GError **error);
gboolean dinv_settings_rule_state_dir(const DinvSettingsContext *context, DinvConfig *config,
                                      GError **error);
gboolean dinv_settings_rule_socket(const DinvSettingsContext *context, DinvConfig *config,
                                   GError **error);
gboolean dinv_settings_rule_log_level(const DinvSettingsContext *context, DinvConfig *config,
                                      GError **error);

/* The rules between settings: settles where the engine answers, and checks that nothing is in the
 * way of something else. FALSE with DINV_SETTINGS_ERROR_CONFLICT. */
gboolean dinv_settings_apply_rules(DinvConfig *config, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* No port where the engine answers may be one of those that are forwarded. FALSE with
 * DINV_SETTINGS_ERROR_CONFLICT. */
gboolean dinv_settings_check_forwards(const DinvConfig *config,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SPDX-License-Identifier: MIT */
/* The field of DinvConfig that belongs to a setting: made, set from a text, and freed, as the
 * setting's type says. */
#pragma once

#include "launcher/settings/table.h"

/* Sets the field, all zeros so far, to what it is as long as nothing is given. */
void dinv_settings_value_init(const DinvSetting *setting, DinvConfig *config);

/* Parses `text` into the field; lists of ports and mounts are appended to. FALSE with a
 * DINV_SETTINGS_ERROR, and the field unchanged, if the text is wrong. */
gboolean dinv_settings_value_parse(const DinvSetting *setting, const char *text, DinvConfig *config,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Frees what the field owns. Two settings may share a field: it is NULL afterwards. */
void dinv_settings_value_clear(const DinvSetting *setting, DinvConfig *config);

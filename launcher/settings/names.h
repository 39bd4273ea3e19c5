/* SPDX-License-Identifier: MIT */
/*
 * How settings are written: their flags, their values in help, and which of them a misspelt name
 * is nearest to.
 */
#pragma once

#include "launcher/settings/table.h"

/* "DINV_DISK_SIZE" -> "--disk-size". Transfer full. */
char *dinv_setting_flag(const DinvSetting *setting);

/* How help shows the value: "SIZE", "auto|kvm|tcg". Transfer full. */
char *dinv_setting_argument(const DinvSetting *setting);

/* How help shows the default; borrowed from the table. */
const char *dinv_setting_default(const DinvSetting *setting);

/* The variable, or as a flag the flag, that is nearest to `name`. Transfer full. */
char *dinv_settings_nearest_name(const char *name, gboolean as_flag);

/* Whether "--disk-size" is the flag of a setting, and whether it is none but so near to one that it
 * must be meant. */
gboolean dinv_setting_flag_exists(const char *flag);
gboolean dinv_setting_flag_is_misspelt(const char *flag);

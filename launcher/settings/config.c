/* SPDX-License-Identifier: MIT */
/* The end of a configuration: the table knows what each field owns. */
#include "launcher/settings/config.h"

#include "launcher/settings/values.h"

void dinv_config_free(DinvConfig *config) {
    if (config == NULL) {
        return;
    }
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        dinv_settings_value_clear(setting, config);
    }
    g_free(config);
}

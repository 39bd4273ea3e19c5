/* SPDX-License-Identifier: MIT */
/* What is read from several fields of a configuration, and its end: the table knows what each field
 * owns, but for those that follow from others. */
#include "launcher/settings/config.h"

#include "launcher/settings/values.h"

static void add_port(GArray *ports, const DinvTcpAddress *address, gboolean tls,
                     const char *setting) {
    DinvConfigPort port = {.address = *address, .tls = tls, .setting = setting};
    if (address->port != 0) {
        g_array_append_val(ports, port);
    }
}

GArray *dinv_config_list_ports(const DinvConfig *config) {
    GArray *ports = g_array_new(FALSE, FALSE, sizeof(DinvConfigPort));
    add_port(ports, &config->plaintext, FALSE, "DINV_PLAINTEXT_PORT");
    add_port(ports, &config->tls, TRUE, "DINV_TLS_PORT");
    if (config->more_ports != NULL) {
        g_array_append_vals(ports, config->more_ports->data, config->more_ports->len);
    }
    return ports;
}

void dinv_config_free(DinvConfig *config) {
    if (config == NULL) {
        return;
    }
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        dinv_settings_value_clear(setting, config);
    }
    g_clear_pointer(&config->more_sockets, g_ptr_array_unref);
    g_clear_pointer(&config->more_ports, g_array_unref);
    g_clear_pointer(&config->notes, g_ptr_array_unref);
    g_free(config->tls_ca);
    g_free(config->tls_certificate);
    g_free(config->tls_key);
    g_free(config);
}

/* SPDX-License-Identifier: MIT */
#include "launcher/settings/config.h"

void dinv_config_free(DinvConfig *config) {
    if (config == NULL) {
        return;
    }
    g_clear_pointer(&config->ports, g_array_unref);
    g_clear_pointer(&config->mounts, g_ptr_array_unref);
    g_strfreev(config->dockerd_args);
    g_free(config->state_dir);
    g_free(config->volume_path);
    g_free(config->socket_path);
    g_free(config->tls_directory);
    g_strfreev(config->tls_names);
    g_free(config->kernel);
    g_free(config->initrd);
    g_free(config->rootfs);
    g_free(config->qemu);
    g_free(config->config_dir);
    g_free(config->dockerd_log);
    g_free(config->on_ready);
    g_free(config);
}

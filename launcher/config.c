/* SPDX-License-Identifier: MIT */
#include "launcher/config.h"

#include <string.h>

const char *dinv_config_dockerd_option(const DinvConfig *config, const char *name) {
    gsize length = strlen(name);
    for (char *const *word = config->dockerd_args; word != NULL && *word != NULL; word++) {
        if (strncmp(*word, name, length) != 0) {
            continue;
        }
        if ((*word)[length] == '=') {
            return *word + length + 1;
        }
        if ((*word)[length] == '\0') {
            return word[1] != NULL ? word[1] : "";
        }
    }
    return NULL;
}

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
    g_free(config);
}

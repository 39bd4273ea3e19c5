/* SPDX-License-Identifier: MIT */
/* The rules of single settings, then those between settings: TCP ports, and the private volume. */
#include "launcher/settings/rules.h"

#include <string.h>
#include <sys/un.h>

#include "launcher/settings/types.h"

/* That of docker:dind without TLS. */
#define PLAINTEXT_PORT 2375u

gboolean dinv_settings_rule_cpus(const DinvSettingsContext *context, DinvConfig *config,
                                 G_GNUC_UNUSED GError **error) {
    config->cpus_given = context->is_given;
    if (context->is_given && config->cpus > context->limits->cpus_online) {
        g_ptr_array_add(
            context->warnings,
            g_strdup_printf("%s: the guest gets %u CPUs, but there are only %u to run them",
                            context->origin, config->cpus, context->limits->cpus_online));
    }
    return TRUE;
}

gboolean dinv_settings_rule_state_dir(const DinvSettingsContext *context, DinvConfig *config,
                                      G_GNUC_UNUSED GError **error) {
    config->state_dir_given = context->is_given;
    return TRUE;
}

gboolean dinv_settings_rule_socket(const DinvSettingsContext *context, DinvConfig *config,
                                   GError **error) {
    const gsize longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    gsize length = strlen(config->socket_path);
    if (length > longest) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "%s: \"%s\" is %" G_GSIZE_FORMAT
                    " bytes long, the path of a socket can have %" G_GSIZE_FORMAT,
                    context->origin, config->socket_path, length, longest);
        return FALSE;
    }
    config->socket_given = context->is_given;
    return TRUE;
}

gboolean dinv_settings_rule_log_level(const DinvSettingsContext *context, DinvConfig *config,
                                      G_GNUC_UNUSED GError **error) {
    config->log_level_given = context->is_given;
    return TRUE;
}

/* Which TCP ports there are follows from the directory for TLS: given, empty, or not given. */
static void settle_tcp(DinvConfig *config) {
    if (config->tls_directory != NULL && *config->tls_directory != '\0') {
        return;
    }
    if (config->tls_directory != NULL && config->plaintext.port == 0) {
        config->plaintext.port = PLAINTEXT_PORT;
        config->plaintext_by_default = TRUE;
    }
    g_clear_pointer(&config->tls_directory, g_free);
    config->tls.port = 0;
}

gboolean dinv_settings_check_forwards(const DinvConfig *config, GError **error) {
    g_autoptr(GArray) ports = dinv_config_list_ports(config);
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        for (guint j = 0; forward->protocol == DINV_PROTOCOL_TCP && j < ports->len; j++) {
            const DinvConfigPort *port = &g_array_index(ports, DinvConfigPort, j);
            if (forward->host_port == port->address.port) {
                g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                            "DINV_TCP_PORTS: port %u is where the engine answers (%s)",
                            forward->host_port, port->setting);
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* The ports where the engine answers must differ, and none of them can be forwarded. */
static gboolean check_engine_ports(const DinvConfig *config, GError **error) {
    if (config->tls.port != 0 && config->tls.port == config->plaintext.port) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                    "port %u is both DINV_TLS_PORT and DINV_PLAINTEXT_PORT", config->tls.port);
        return FALSE;
    }
    return dinv_settings_check_forwards(config, error);
}

/* A mount over the volume's directory would hide the volume; one below it is made in the volume. */
static gboolean check_volume(const DinvConfig *config, GError **error) {
    for (guint i = 0; config->volume_path != NULL && i < config->mounts->len; i++) {
        const DinvMountSpec *mount = config->mounts->pdata[i];
        if (dinv_path_is_within(config->volume_path, mount->target)) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "DINV_VOLUME_PATH: \"%s\" would be hidden by \"%s\" of DINV_MOUNTS",
                        config->volume_path, mount->target);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_settings_apply_rules(DinvConfig *config, GError **error) {
    settle_tcp(config);
    return check_engine_ports(config, error) && check_volume(config, error);
}

/* SPDX-License-Identifier: MIT */
/*
 * Settings from environment and flags. The input is lines: those before an empty line are the
 * environment, those behind it are words. What must hold: no crash, exactly one of config and
 * error, and a config within its promised bounds.
 */
#include <stdint.h>
#include <string.h>

#include "launcher/cli/help.h"
#include "launcher/settings/settings.h"
#include "launcher/settings/types.h"
#include "wire/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_engine_tcp(const DinvConfig *config) {
    g_assert(config->tls_directory == NULL || config->tls_directory[0] == '/');
    g_assert((config->tls_directory == NULL) == (config->tls.port == 0));
    g_assert(config->tls.port == 0 || config->tls.port != config->plaintext.port);
    g_assert(strlen(config->tls.host) < sizeof config->tls.host);
    for (guint i = 0; config->tls_names != NULL && config->tls_names[i] != NULL; i++) {
        g_assert(g_str_has_prefix(config->tls_names[i], "DNS:") ||
                 g_str_has_prefix(config->tls_names[i], "IP:"));
    }
}

/* A path that is written as text is read back as the same path. */
static void check_path_text(const char *path) {
    g_autofree char *text = dinv_path_to_text(path);
    g_autoptr(GPtrArray) mounts =
        g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    g_autoptr(GError) error = NULL;
    g_autofree char *item = g_strconcat(text, ":/x", NULL);
    gboolean automatic = FALSE;
    g_assert(g_utf8_validate(text, -1, NULL));
    g_assert(dinv_settings_parse_mounts(item, mounts, &automatic, &error) && mounts->len == 1);
    g_assert(strcmp(((const DinvMountSpec *)mounts->pdata[0])->source, path) == 0);
}

static void check_config(const DinvConfig *config) {
    check_engine_tcp(config);
    g_assert(config->cpus >= 1 && config->cpus <= DINV_CPUS_MAXIMUM);
    g_assert(config->memory_bytes >= DINV_MEMORY_MINIMUM && config->memory_bytes % (1 << 20) == 0);
    g_assert(config->disk_bytes >= 1 << 30 && config->disk_bytes % (1 << 20) == 0);
    g_assert(config->socket_path[0] == '/' && strlen(config->socket_path) <= 107);
    g_assert((config->socket_mode & ~(mode_t)0777) == 0);
    g_assert(config->ports->len <= 2 * DINV_PORTS_MAX);
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        g_assert(forward->host_port != 0 && forward->guest_port != 0);
        for (guint j = 0; j < i && i < 64; j++) {
            const DinvPortForward *other = &g_array_index(config->ports, DinvPortForward, j);
            g_assert(other->protocol != forward->protocol ||
                     other->host_port != forward->host_port);
        }
    }
    g_assert(config->mounts->len <= DINV_WIRE_MOUNTS_MAX);
    for (guint i = 0; i < config->mounts->len; i++) {
        const DinvMountSpec *mount = config->mounts->pdata[i];
        g_assert(mount->source[0] == '/' && mount->target[0] == '/');
        g_assert(mount->target[1] != '\0' && strstr(mount->target, "/../") == NULL);
        g_assert(!g_str_has_prefix(mount->target, "/proc/"));
        check_path_text(mount->source);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const DinvHostLimits limits = {.cpus_online = 4,
                                          .memory_total = G_GUINT64_CONSTANT(1) << 34};
    g_autofree char *text = g_strndup((const char *)data, size);
    char *gap = strstr(text, "\n\n");
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    if (gap != NULL) {
        *gap = '\0';
    }
    g_auto(GStrv) environment = g_strsplit(text, "\n", -1);
    g_auto(GStrv) words = g_strsplit(gap == NULL ? "" : gap + 2, "\n", -1);
    char **rest = words;
    int total = (int)g_strv_length(words);
    int count = total;
    g_autoptr(DinvConfig) config =
        dinv_settings_load_with_limits((const char *const *)environment, &count, &rest,
                                       dinv_cli_verb_has_flag, &limits, warnings, &error);
    g_assert((config == NULL) == (error != NULL));
    g_assert(rest == words + (total - count));
    if (config != NULL) {
        check_config(config);
    }
    return 0;
}

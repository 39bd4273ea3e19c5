/* SPDX-License-Identifier: MIT */
/* Turns each thing that the user has for dockerd into files and arguments for the guest. */
#include "launcher/engine/config.h"

#include <string.h>
#include <sys/stat.h>

#include "launcher/base/input-file.h"
#include "launcher/engine/certificates.h"
#include "launcher/engine/options.h"
#include "launcher/engine/proxies.h"

G_DEFINE_QUARK(dinv - engine - config - error - quark, dinv_engine_config_error)

/* Where the files are in the guest. */
#define GUEST_DAEMON_JSON  "/etc/docker/daemon.json"
#define GUEST_REGISTRIES   "/etc/docker/certs.d"
#define GUEST_CERTIFICATES "/etc/ssl/certs/dinv.pem" /* Go reads all of that directory */

static void engine_file_free(gpointer data) {
    DinvEngineFile *file = data;
    g_free(file->path);
    g_free(file->text);
    g_free(file);
}

static void add_guest_file(DinvEngineConfig *engine, const char *path, const char *text,
                           guint mode) {
    DinvEngineFile *file = g_new(DinvEngineFile, 1);
    *file = (DinvEngineFile){.path = g_strdup(path), .text = g_strdup(text), .mode = mode};
    g_ptr_array_add(engine->files, file);
}

/* A setting of dinv's goes before an argument for dockerd. */
static const DinvEngineOption bip_option = {"--bip", 0, FALSE, "bip", "DINV_BIP is set"};

/* --- daemon.json --- */

static gboolean read_daemon_json(DinvEngineConfig *engine, const DinvConfig *config,
                                 GError **error) {
    g_autofree char *path = g_build_filename(config->config_dir, "daemon.json", NULL);
    g_autoptr(GError) failure = NULL;
    gsize length = 0;
    g_autofree char *text =
        dinv_input_file_read(path, DINV_ENGINE_DAEMON_JSON_MAX_BYTES, &length, &failure);
    if (g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        return TRUE;
    }
    if (text != NULL) {
        engine->daemon_json = dinv_engine_daemon_json_parse(text, length, &failure);
    }
    if (engine->daemon_json == NULL) {
        g_set_error(error, DINV_ENGINE_CONFIG_ERROR, DINV_ENGINE_CONFIG_ERROR_FILE, "\"%s\"%s%s",
                    path, failure->message[0] == '"' ? ": " : " ", failure->message);
        return FALSE;
    }
    for (guint i = 0; i < engine->daemon_json->warnings->len; i++) {
        g_ptr_array_add(
            engine->warnings,
            g_strdup_printf("%s: %s", path, (char *)engine->daemon_json->warnings->pdata[i]));
    }
    if (config->bip.prefix != 0 &&
        dinv_engine_daemon_json_has(engine->daemon_json, bip_option.key)) {
        json_object_object_del(engine->daemon_json->object, bip_option.key);
        g_ptr_array_add(engine->warnings,
                        g_strdup_printf("%s: \"%s\" is not passed on to dockerd: %s", path,
                                        bip_option.key, bip_option.reason));
    }
    add_guest_file(
        engine, GUEST_DAEMON_JSON,
        json_object_to_json_string_ext(engine->daemon_json->object,
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        0644);
    return TRUE;
}

/* --- Arguments, and what they and daemon.json want of the inner networks --- */

static gboolean filter_arguments(DinvEngineConfig *engine, const DinvConfig *config,
                                 GError **error) {
    gsize bytes = 0;
    const DinvEngineOption only_bip[] = {bip_option, {0}};
    g_auto(GStrv) without_kept = dinv_engine_options_filter(
        config->dockerd_args, dinv_engine_options_kept(), engine->warnings);
    engine->arguments = config->bip.prefix != 0
                            ? dinv_engine_options_filter(without_kept, only_bip, engine->warnings)
                            : g_strdupv(without_kept);
    for (guint i = 0; engine->arguments[i] != NULL; i++) {
        bytes += strlen(engine->arguments[i]);
    }
    if (bytes > DINV_ENGINE_ARGUMENTS_MAX_BYTES) {
        g_set_error(error, DINV_ENGINE_CONFIG_ERROR, DINV_ENGINE_CONFIG_ERROR_FILE,
                    "the arguments for dockerd (DINV_DOCKERD_ARGS) have more than %u KiB",
                    DINV_ENGINE_ARGUMENTS_MAX_BYTES >> 10);
        return FALSE;
    }
    return TRUE;
}

static void add_pool(GArray *pools, const char *text) {
    DinvIpv4Network network;
    if (dinv_ipv4_network_parse(text, &network)) { /* of IPv6 there is nothing to plan */
        network = dinv_ipv4_network_of(&network);
        g_array_append_val(pools, network);
    }
}

/* "base=10.10.0.0/16,size=24" */
static void add_pool_of_flag(GArray *pools, const char *value) {
    g_auto(GStrv) fields = g_strsplit(value, ",", -1);
    for (guint i = 0; fields[i] != NULL; i++) {
        if (g_str_has_prefix(fields[i], "base=")) {
            add_pool(pools, fields[i] + strlen("base="));
        }
    }
}

/* With both a flag and the key dockerd does not start, and says so. */
static void settle_networks(DinvEngineConfig *engine, const DinvConfig *config) {
    g_autoptr(GPtrArray) addresses = dinv_engine_options_list(engine->arguments, "--bip");
    g_autoptr(GPtrArray) pools =
        dinv_engine_options_list(engine->arguments, "--default-address-pool");
    engine->bip = config->bip;
    if (config->bip.prefix == 0 && addresses->len > 0) {
        (void)dinv_ipv4_network_parse(addresses->pdata[0], &engine->bip);
    } else if (config->bip.prefix == 0 && engine->daemon_json != NULL) {
        engine->bip = engine->daemon_json->bip;
    }
    if (pools->len > 0) {
        engine->pools = g_array_new(FALSE, FALSE, sizeof(DinvIpv4Network));
        for (guint i = 0; i < pools->len; i++) {
            add_pool_of_flag(engine->pools, pools->pdata[i]);
        }
    } else if (engine->daemon_json != NULL &&
               dinv_engine_daemon_json_has(engine->daemon_json, "default-address-pools")) {
        engine->pools = g_array_ref(engine->daemon_json->pools);
    }
}

/* --- certs.d --- */

typedef struct {
    guint files;
    gsize bytes;
} RegistryFiles;

static gboolean is_registry_text(const char *text, gsize length) {
    return strlen(text) == length && g_utf8_validate(text, (gssize)length, NULL);
}

static gboolean add_registry_file(DinvEngineConfig *engine, RegistryFiles *all, const char *path,
                                  const char *guest_path, GError **error) {
    g_autoptr(GError) failure = NULL;
    gsize length = 0;
    g_autofree char *text =
        dinv_input_file_read(path, DINV_REGISTRY_FILES_MAX_BYTES, &length, &failure);
    if (text == NULL && !g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_NO_SPACE)) {
        g_ptr_array_add(engine->warnings,
                        g_strdup_printf("\"%s\" %s, ignoring it", path, failure->message));
        return TRUE;
    }
    if (text != NULL && !is_registry_text(text, length)) {
        g_ptr_array_add(engine->warnings,
                        g_strdup_printf("\"%s\" is not text (PEM), ignoring it", path));
        return TRUE;
    }
    all->files++;
    all->bytes += length;
    if (text == NULL || all->files > DINV_REGISTRY_FILES_MAX ||
        all->bytes > DINV_REGISTRY_FILES_MAX_BYTES) {
        g_set_error(error, DINV_ENGINE_CONFIG_ERROR, DINV_ENGINE_CONFIG_ERROR_FILE,
                    "\"%s\": certs.d has more than %u files or %u KiB with it", path,
                    DINV_REGISTRY_FILES_MAX, DINV_REGISTRY_FILES_MAX_BYTES >> 10);
        return FALSE;
    }
    add_guest_file(engine, guest_path, text, g_str_has_suffix(path, ".key") ? 0600 : 0644);
    return TRUE;
}

/* Whether dockerd looks for a file of that name in the directory of a registry. */
static gboolean is_registry_file(const char *name) {
    return g_str_has_suffix(name, ".crt") || g_str_has_suffix(name, ".cert") ||
           g_str_has_suffix(name, ".key");
}

static gboolean read_registry(DinvEngineConfig *engine, RegistryFiles *all, const char *directory,
                              const char *host, GError **error) {
    g_autofree char *path = g_build_filename(directory, host, NULL);
    g_autoptr(GPtrArray) names = dinv_input_directory_list(path);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *guest_path = g_build_filename(GUEST_REGISTRIES, host, name, NULL);
        if (is_registry_file(name) && g_utf8_validate(guest_path, -1, NULL) &&
            !add_registry_file(engine, all, file, guest_path, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean read_registries(DinvEngineConfig *engine, const DinvConfig *config, guint *count,
                                GError **error) {
    g_autofree char *directory = g_build_filename(config->config_dir, "certs.d", NULL);
    g_autoptr(GPtrArray) hosts = dinv_input_directory_list(directory);
    RegistryFiles all = {0};
    for (guint i = 0; i < hosts->len; i++) {
        if (!read_registry(engine, &all, directory, g_ptr_array_index(hosts, i), error)) {
            return FALSE;
        }
    }
    *count = all.files;
    return TRUE;
}

/* --- Certificates, the whole --- */

static gboolean add_certificates(DinvEngineConfig *engine, const char *root,
                                 char *const *environment, guint *count, GError **error) {
    g_autoptr(DinvEngineCertificates) certificates =
        dinv_engine_certificates_collect(root, environment, engine->warnings, error);
    if (certificates == NULL) {
        return FALSE;
    }
    *count = dinv_engine_certificates_count(certificates);
    if (*count > 0) {
        add_guest_file(engine, GUEST_CERTIFICATES, certificates->pem->str, 0644);
    }
    return TRUE;
}

static void describe_config(DinvEngineConfig *engine, guint registry_files, guint certificates) {
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    if (engine->daemon_json != NULL) {
        g_ptr_array_add(parts, g_strdup("daemon.json"));
    }
    if (registry_files > 0) {
        g_ptr_array_add(parts, g_strdup_printf("%u files of certs.d", registry_files));
    }
    if (certificates > 0) {
        g_ptr_array_add(parts, g_strdup_printf("%u certificate authorities", certificates));
    }
    for (guint i = 0; engine->proxies[i] != NULL; i++) {
        g_ptr_array_add(parts, g_strndup(engine->proxies[i], strcspn(engine->proxies[i], "=")));
    }
    if (engine->arguments[0] != NULL) {
        g_ptr_array_add(
            parts, g_strdup_printf("%u arguments for dockerd", g_strv_length(engine->arguments)));
    }
    g_ptr_array_add(parts, NULL);
    engine->text = g_strjoinv(", ", (char **)parts->pdata);
}

DinvEngineConfig *dinv_engine_config_read(const DinvConfig *config, const char *root,
                                          char *const *environment, GError **error) {
    g_autoptr(DinvEngineConfig) engine = g_new0(DinvEngineConfig, 1);
    guint registry_files = 0;
    guint certificates = 0;
    engine->files = g_ptr_array_new_with_free_func(engine_file_free);
    engine->warnings = g_ptr_array_new_with_free_func(g_free);
    if (!filter_arguments(engine, config, error) || !read_daemon_json(engine, config, error) ||
        !read_registries(engine, config, &registry_files, error) ||
        !add_certificates(engine, root, environment, &certificates, error)) {
        return NULL;
    }
    engine->proxies = dinv_engine_proxies_find(environment, error);
    if (engine->proxies == NULL) {
        return NULL;
    }
    dinv_engine_zone_read(root, g_environ_getenv((char **)environment, "TZ"), &engine->zone);
    settle_networks(engine, config);
    describe_config(engine, registry_files, certificates);
    return g_steal_pointer(&engine);
}

gboolean dinv_engine_config_has(const DinvEngineConfig *engine, const char *flag, const char *key) {
    g_autoptr(GPtrArray) values = dinv_engine_options_list(engine->arguments, flag);
    return values->len > 0 ||
           (key != NULL && dinv_engine_daemon_json_has(engine->daemon_json, key));
}

void dinv_engine_config_free(DinvEngineConfig *engine) {
    if (engine != NULL) {
        dinv_engine_daemon_json_free(engine->daemon_json);
        g_clear_pointer(&engine->files, g_ptr_array_unref);
        g_clear_pointer(&engine->warnings, g_ptr_array_unref);
        g_clear_pointer(&engine->pools, g_array_unref);
        g_strfreev(engine->arguments);
        g_strfreev(engine->proxies);
        dinv_engine_zone_clear(&engine->zone);
        g_free(engine->text);
        g_free(engine);
    }
}

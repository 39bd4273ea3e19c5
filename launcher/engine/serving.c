/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. First the texts of each option are gathered: those of the arguments, else
 * those of daemon.json. Then each is settled, TLS before the addresses, whose usual port depends on
 * it. One server with TLS has one set of files, whatever the number of its ports, as dockerd has.
 */
#include "launcher/engine/serving.h"

#include <arpa/inet.h>
#include <grp.h>
#include <string.h>

#include "launcher/base/input-file.h"
#include "launcher/engine/daemon-json.h"
#include "launcher/engine/host-address.h"
#include "launcher/engine/options.h"
#include "launcher/settings/rules.h"
#include "launcher/settings/types.h"

#define GROUP_BUFFER_BYTES 65536u

/* What was said of one option; no text: it was not given. */
typedef struct {
    char *origin;     /* for messages: "--host", "\"/etc/docker/daemon.json\": \"hosts\"" */
    GPtrArray *texts; /* of char* */
} Said;

typedef enum {
    SAID_HOST,
    SAID_GROUP,
    SAID_TLS,
    SAID_TLSVERIFY,
    SAID_TLSCACERT,
    SAID_TLSCERT,
    SAID_TLSKEY,
    SAID_COUNT
} SaidOption;

static const struct {
    const char *flag;
    const char *key;
} said_names[SAID_COUNT] = {
    [SAID_HOST] = {"--host", "hosts"},
    [SAID_GROUP] = {"--group", "group"},
    [SAID_TLS] = {"--tls", "tls"},
    [SAID_TLSVERIFY] = {"--tlsverify", "tlsverify"},
    [SAID_TLSCACERT] = {"--tlscacert", "tlscacert"},
    [SAID_TLSCERT] = {"--tlscert", "tlscert"},
    [SAID_TLSKEY] = {"--tlskey", "tlskey"},
};

typedef struct {
    DinvConfig *config;
    Said said[SAID_COUNT];
    gboolean tls; /* what is served over TCP is served with TLS */
} Serving;

static void serving_clear(Serving *serving) {
    for (guint i = 0; i < SAID_COUNT; i++) {
        g_free(serving->said[i].origin);
        g_clear_pointer(&serving->said[i].texts, g_ptr_array_unref);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Serving, serving_clear)

static gboolean is_said(const Serving *serving, SaidOption option) {
    return serving->said[option].texts->len > 0;
}

/* The last one counts; NULL if there is none. */
static const char *last_text(const Serving *serving, SaidOption option) {
    const GPtrArray *texts = serving->said[option].texts;
    return texts->len > 0 ? texts->pdata[texts->len - 1] : NULL;
}

static gboolean refuse(GError **error, const Said *said, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean refuse(GError **error, const Said *said, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID, "%s: %s", said->origin,
                text);
    return FALSE;
}

/* --- Gathering --- */

static void take_arguments(Serving *serving) {
    for (guint i = 0; i < SAID_COUNT; i++) {
        g_autoptr(GPtrArray) values =
            dinv_engine_options_list_kept(serving->config->dockerd_args, said_names[i].flag);
        serving->said[i].origin = g_strdup(said_names[i].flag);
        serving->said[i].texts = g_ptr_array_new_with_free_func(g_free);
        for (guint j = 0; j < values->len; j++) {
            g_ptr_array_add(serving->said[i].texts, g_strdup(values->pdata[j]));
        }
    }
}

static void add_value(GPtrArray *texts, struct json_object *value) {
    if (!json_object_is_type(value, json_type_array)) {
        g_ptr_array_add(texts, g_strdup(json_object_get_string(value)));
        return;
    }
    for (gsize i = 0; i < json_object_array_length(value); i++) {
        g_ptr_array_add(texts,
                        g_strdup(json_object_get_string(json_object_array_get_idx(value, i))));
    }
}

/* dockerd refuses an option that is said twice; here the arguments win, and that is said. */
static void take_file(Serving *serving, const char *path, struct json_object *served,
                      GPtrArray *warnings) {
    for (guint i = 0; i < SAID_COUNT; i++) {
        struct json_object *value = NULL;
        Said *said = &serving->said[i];
        if (!json_object_object_get_ex(served, said_names[i].key, &value)) {
            continue;
        }
        if (said->texts->len > 0) {
            g_ptr_array_add(warnings, g_strdup_printf("\"%s\": %s is given too, ignoring \"%s\"",
                                                      path, said->origin, said_names[i].key));
            continue;
        }
        g_free(said->origin);
        said->origin = g_strdup_printf("\"%s\": \"%s\"", path, said_names[i].key);
        add_value(said->texts, value);
    }
}

static void gather(Serving *serving, GPtrArray *warnings) {
    g_autofree char *path = g_build_filename(serving->config->config_dir, "daemon.json", NULL);
    gsize length = 0;
    g_autofree char *text =
        dinv_input_file_read(path, DINV_ENGINE_DAEMON_JSON_MAX_BYTES, &length, NULL);
    g_autoptr(DinvEngineDaemonJson) file =
        text != NULL ? dinv_engine_daemon_json_parse(text, length, NULL) : NULL;
    take_arguments(serving);
    if (file != NULL) {
        take_file(serving, path, file->served, warnings);
    }
}

/* --- The group --- */

static gboolean settle_group(Serving *serving, GError **error) {
    const char *name = last_text(serving, SAID_GROUP);
    DinvConfig *config = serving->config;
    g_autofree char *buffer = g_malloc(GROUP_BUFFER_BYTES);
    struct group entry;
    struct group *found = NULL;
    guint64 number = 0;
    if (name == NULL || name[0] == '\0' || config->socket_gid != (gid_t)-1) {
        return TRUE;
    }
    if (getgrnam_r(name, &entry, buffer, GROUP_BUFFER_BYTES, &found) == 0 && found != NULL) {
        config->socket_gid = found->gr_gid;
        return TRUE;
    }
    if (!g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT32 - 1, &number, NULL)) {
        return refuse(error, &serving->said[SAID_GROUP],
                      "there is no group \"%s\" here; give its number, or name one of /etc/group",
                      name);
    }
    config->socket_gid = (gid_t)number;
    return TRUE;
}

/* --- TLS --- */

/* As dockerd's switches are read: by Go's strconv.ParseBool(). */
static gboolean parse_switch(const Serving *serving, SaidOption option, gboolean *on,
                             GError **error) {
    static const char *const yes[] = {"", "1", "t", "T", "true", "True", "TRUE", NULL};
    static const char *const no[] = {"0", "f", "F", "false", "False", "FALSE", NULL};
    const char *text = last_text(serving, option);
    *on = text != NULL && g_strv_contains(yes, text);
    return text == NULL || *on || g_strv_contains(no, text) ||
           refuse(error, &serving->said[option], "\"%s\" is neither true nor false", text);
}

static char *pick_file(const Serving *serving, SaidOption option, const char *directory,
                       const char *name) {
    const char *text = last_text(serving, option);
    return text != NULL && text[0] != '\0' ? g_canonicalize_filename(text, NULL)
                                           : g_build_filename(directory, name, NULL);
}

/* The server's files are those that are named; a missing one is looked for in `directory`. */
static void use_files(const Serving *serving, const char *directory) {
    DinvConfig *config = serving->config;
    config->tls_ca = pick_file(serving, SAID_TLSCACERT, directory, "ca.pem");
    config->tls_certificate = pick_file(serving, SAID_TLSCERT, directory, "cert.pem");
    config->tls_key = pick_file(serving, SAID_TLSKEY, directory, "key.pem");
}

/* Whether the files that are named are those of the directory for TLS, where they are made. */
static gboolean are_files_of_store(const DinvConfig *config) {
    g_auto(DinvTlsFiles) files = dinv_tls_store_get_files(config->tls_directory);
    return strcmp(files.ca, config->tls_ca) == 0 &&
           strcmp(files.certificate, config->tls_certificate) == 0 &&
           strcmp(files.key, config->tls_key) == 0;
}

static void settle_files(const Serving *serving) {
    DinvConfig *config = serving->config;
    gboolean are_named = is_said(serving, SAID_TLSCACERT) || is_said(serving, SAID_TLSCERT) ||
                         is_said(serving, SAID_TLSKEY);
    if (!are_named || config->tls_directory == NULL) {
        return;
    }
    g_autofree char *directory = g_build_filename(config->tls_directory, "server", NULL);
    use_files(serving, directory);
    if (are_files_of_store(config)) {
        g_clear_pointer(&config->tls_ca, g_free);
        g_clear_pointer(&config->tls_certificate, g_free);
        g_clear_pointer(&config->tls_key, g_free);
    } else {
        g_clear_pointer(&config->tls_directory, g_free);
    }
}

/* To dockerd --tlsverify means TLS whatever its value; the directory for TLS means --tlsverify. */
static gboolean settle_tls(Serving *serving, GError **error) {
    DinvConfig *config = serving->config;
    gboolean tls = FALSE;
    gboolean verify = FALSE;
    if (!parse_switch(serving, SAID_TLS, &tls, error) ||
        !parse_switch(serving, SAID_TLSVERIFY, &verify, error)) {
        return FALSE;
    }
    serving->tls = tls || is_said(serving, SAID_TLSVERIFY);
    config->tls_any_client = serving->tls && !verify &&
                             (config->tls_directory == NULL || is_said(serving, SAID_TLSVERIFY));
    settle_files(serving);
    return TRUE;
}

/* With TLS but without a directory for it: files that are named, and the places that dockerd
 * looks at for the others. */
static void find_files(const Serving *serving, char *const *environment) {
    const char *path = g_environ_getenv((char **)environment, "DOCKER_CERT_PATH");
    const char *home = g_environ_getenv((char **)environment, "HOME");
    g_autofree char *directory =
        path != NULL && path[0] != '\0'
            ? g_strdup(path)
            : g_build_filename(home != NULL && home[0] != '\0' ? home : "/root", ".docker", NULL);
    if (serving->config->tls_directory == NULL && serving->config->tls_certificate == NULL) {
        use_files(serving, directory);
    }
}

/* --- The addresses --- */

static void add_socket(DinvConfig *config, const char *path) {
    if (!config->socket_given) {
        g_free(config->socket_path);
        config->socket_path = g_strdup(path);
        config->socket_given = TRUE;
        return;
    }
    if (config->more_sockets == NULL) {
        config->more_sockets = g_ptr_array_new_with_free_func(g_free);
    }
    if (strcmp(path, config->socket_path) != 0 &&
        !g_ptr_array_find_with_equal_func(config->more_sockets, path, g_str_equal, NULL)) {
        g_ptr_array_add(config->more_sockets, g_strdup(path));
    }
}

/* Whether who listens at `wide` has the clients of `narrow`, too. */
static gboolean covers(const DinvTcpAddress *wide, const DinvTcpAddress *narrow) {
    gboolean is_all = wide->host[0] == '\0' || strcmp(wide->host, "::") == 0;
    gboolean is_all_ipv4 = strcmp(wide->host, "0.0.0.0") == 0;
    return wide->port == narrow->port &&
           (is_all || strcmp(wide->host, narrow->host) == 0 ||
            (is_all_ipv4 && narrow->host[0] != '\0' && strchr(narrow->host, ':') == NULL));
}

/* Adds a port where there is none yet that has its clients. */
static gboolean add_port(const Serving *serving, const DinvTcpAddress *address, const char *text,
                         GError **error) {
    DinvConfig *config = serving->config;
    const DinvConfigPort port = {.address = *address, .tls = serving->tls, .setting = "--host"};
    g_autoptr(GArray) ports = dinv_config_list_ports(config);
    for (guint i = 0; i < ports->len; i++) {
        const DinvConfigPort *other = &g_array_index(ports, DinvConfigPort, i);
        gboolean is_covered = covers(&other->address, address);
        if (other->tls != port.tls && (is_covered || covers(address, &other->address))) {
            return refuse(
                error, &serving->said[SAID_HOST],
                "\"%s\" is to be %s TLS, and the same port by %s %s; %s", text,
                port.tls ? "with" : "without", other->setting, port.tls ? "without" : "with",
                port.tls ? "take one of them away" : "add --tlsverify, or take one of them away");
        }
        if (is_covered) {
            return TRUE;
        }
    }
    if (config->more_ports == NULL) {
        config->more_ports = g_array_new(FALSE, FALSE, sizeof(DinvConfigPort));
    }
    for (guint i = config->more_ports->len; i-- > 0;) {
        if (covers(address, &g_array_index(config->more_ports, DinvConfigPort, i).address)) {
            g_array_remove_index(config->more_ports, i);
        }
    }
    g_array_append_val(config->more_ports, port);
    return TRUE;
}

/* The port of an empty directory for TLS is dind's default, in the place of which these stand. With
 * nothing in its place it is with TLS, if that is asked for. */
static gboolean settle_default_port(const Serving *serving, gboolean has_tcp, GError **error) {
    DinvConfig *config = serving->config;
    if (!config->plaintext_by_default || (!has_tcp && !serving->tls)) {
        return TRUE;
    }
    const DinvTcpAddress address = config->plaintext;
    config->plaintext.port = 0;
    return has_tcp || add_port(serving, &address, "", error);
}

static gboolean settle_hosts(Serving *serving, char *const *environment, GError **error) {
    const Said *said = &serving->said[SAID_HOST];
    gboolean has_tcp = FALSE;
    for (guint i = 0; i < said->texts->len; i++) {
        g_auto(DinvEngineHostAddress) address = {0};
        g_autofree char *text = g_strstrip(g_strdup(said->texts->pdata[i]));
        if (!dinv_engine_host_address_parse(text, serving->tls, &address, error)) {
            g_prefix_error(error, "%s: ", said->origin);
            return FALSE;
        }
        if (address.path != NULL) {
            add_socket(serving->config, address.path);
            continue;
        }
        if ((!has_tcp && !settle_default_port(serving, TRUE, error)) ||
            !add_port(serving, &address.tcp, text, error)) {
            return FALSE;
        }
        has_tcp = TRUE;
    }
    if (!has_tcp && !settle_default_port(serving, FALSE, error)) {
        return FALSE;
    }
    if (serving->tls && serving->config->more_ports != NULL) {
        find_files(serving, environment);
    }
    return TRUE;
}

gboolean dinv_engine_serving_settle(DinvConfig *config, char *const *environment,
                                    GPtrArray *warnings, GError **error) {
    g_auto(Serving) serving = {.config = config};
    gather(&serving, warnings);
    return settle_group(&serving, error) && settle_tls(&serving, error) &&
           settle_hosts(&serving, environment, error) &&
           dinv_settings_check_forwards(config, error);
}

DinvTlsFiles dinv_engine_serving_get_files(const DinvConfig *config) {
    DinvTlsFiles files = {0};
    if (config->tls_directory != NULL) {
        files = dinv_tls_store_get_files(config->tls_directory);
    } else {
        files = (DinvTlsFiles){.certificate = g_strdup(config->tls_certificate),
                               .key = g_strdup(config->tls_key),
                               .ca = g_strdup(config->tls_ca)};
    }
    if (config->tls_any_client) {
        g_clear_pointer(&files.ca, g_free);
    }
    return files;
}

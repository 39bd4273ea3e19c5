/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. First the winning text of each setting is collected: its environment
 * variable, else the alias of it, then flags over both. Only the winner is parsed, with the name it
 * came by in front of any message. Then what depends on the machine (defaults) and what depends on
 * two settings (a socket inside a mount, …) is settled.
 */
#include "launcher/settings/settings.h"

#include <string.h>
#include <sys/un.h>

/* That of docker:dind without TLS. */
#define PLAINTEXT_PORT 2375u

/* Where the text of one setting came from: "DINV_CPUS", "--cpus". Both NULL: nowhere. */
typedef struct {
    char *origin;
    char *text;
} Given;

typedef struct {
    Given given[DINV_SETTINGS_MAX]; /* in the table's order */
} GivenSettings;

static void given_settings_free(GivenSettings *all) {
    for (gsize i = 0; i < DINV_SETTINGS_MAX; i++) {
        g_free(all->given[i].origin);
        g_free(all->given[i].text);
    }
    g_free(all);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GivenSettings, given_settings_free)

static void give(Given *given, const char *origin, const char *text) {
    g_free(given->origin);
    g_free(given->text);
    given->origin = g_strdup(origin);
    given->text = g_strdup(text);
}

static void warn(GPtrArray *warnings, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void warn(GPtrArray *warnings, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    g_ptr_array_add(warnings, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

/* Levenshtein's distance; `a` and `b` are names, cut at 63 bytes. */
static gsize edit_distance(const char *a, const char *b) {
    gsize row[64];
    gsize width = MIN(strlen(b), G_N_ELEMENTS(row) - 1);
    gsize height = MIN(strlen(a), G_N_ELEMENTS(row) - 1);

    for (gsize x = 0; x <= width; x++) {
        row[x] = x;
    }
    for (gsize y = 1; y <= height; y++) {
        gsize diagonal = row[0];

        row[0] = y;
        for (gsize x = 1; x <= width; x++) {
            gsize replaced = diagonal + (a[y - 1] == b[x - 1] ? 0 : 1);

            diagonal = row[x];
            row[x] = MIN(replaced, MIN(row[x], row[x - 1]) + 1);
        }
    }
    return row[width];
}

/* The setting whose variable (or flag) is nearest to `name`, how that is written, and how far. */
static char *nearest_name(const char *name, gboolean as_flag, gsize *nearest_distance) {
    g_autofree char *nearest = NULL;
    gsize distance = G_MAXSIZE;

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *known = as_flag ? dinv_setting_flag(setting) : g_strdup(setting->name);
        gsize this_distance = edit_distance(name, known);

        if (this_distance < distance) {
            distance = this_distance;
            g_free(nearest);
            nearest = g_steal_pointer(&known);
        }
    }
    *nearest_distance = distance;
    return g_steal_pointer(&nearest);
}

gboolean dinv_setting_flag_exists(const char *flag) {
    gsize distance;

    g_free(nearest_name(flag, TRUE, &distance));
    return distance == 0;
}

gboolean dinv_setting_flag_is_misspelt(const char *flag) {
    static const char *const of_dockerd[] = {"--ip", "--init", NULL}; /* near --bip, --initrd */
    gsize distance;

    g_free(nearest_name(flag, TRUE, &distance));
    return distance > 0 && distance <= 2 && !g_strv_contains(of_dockerd, flag);
}

/* Variables that look like settings and are none, but belong to the tests. */
static gboolean is_test_variable(const char *name) {
    static const char *const names[] = {"DINV_MUST_WORK", "DINV_BUILD_ROOT", "DINV_SOURCE_ROOT",
                                        NULL};

    return g_strv_contains(names, name);
}

/* As docker:dind has it: set, but empty, is a wish. */
static gboolean takes_empty(const DinvSetting *setting) {
    return setting->type == DINV_TYPE_TLS_DIRECTORY;
}

/* Takes "NAME=value" when NAME is a setting or the older name of one; FALSE if it is neither. */
static gboolean collect_variable(const char *name, const char *value, GivenSettings *all,
                                 GPtrArray *warnings) {
    gsize index = 0;

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL;
         setting++, index++) {
        Given *given = &all->given[index];
        gboolean is_name = strcmp(name, setting->name) == 0;

        if (!is_name && g_strcmp0(name, setting->alias) != 0) {
            continue;
        }
        if (*value == '\0' && !takes_empty(setting)) { /* as if it were not set */
            return TRUE;
        }
        if (given->origin != NULL && strcmp(given->text, value) != 0) {
            warn(warnings, "%s is set too, ignoring %s", setting->name, setting->alias);
        }
        if (is_name || given->origin == NULL) {
            give(given, name, value);
        }
        return TRUE;
    }
    return FALSE;
}

/* Variables of docker-in-docker images, which say the same as a setting in their own way: a number
 * of gigabytes, and "file" for a file whose name is fixed. dinv's own names go before. */
static void collect_foreign(const char *name, const char *value, GivenSettings *all) {
    gsize index = 0;

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL;
         setting++, index++) {
        Given *given = &all->given[index];

        if (given->origin != NULL || value[0] == '\0') {
            continue;
        }
        if (setting->offset == G_STRUCT_OFFSET(DinvConfig, disk_bytes) &&
            strcmp(name, "VAR_LIB_DOCKER_SIZE") == 0) {
            gboolean is_number = value[strspn(value, "0123456789")] == '\0';
            g_autofree char *size = g_strconcat(value, is_number ? "G" : "", NULL);
            give(given, name, size);
        }
        if (setting->offset == G_STRUCT_OFFSET(DinvConfig, dockerd_log) &&
            strcmp(name, "LOG") == 0 && strcmp(value, "file") == 0) {
            give(given, name, "/var/log/docker.log");
        }
    }
}

static void collect_environment(const char *const *environment, GivenSettings *all,
                                GPtrArray *warnings) {
    for (gsize i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        g_autofree char *name = NULL;

        if (equals == NULL) {
            continue;
        }
        name = g_strndup(environment[i], (gsize)(equals - environment[i]));
        if (!collect_variable(name, equals + 1, all, warnings) && g_str_has_prefix(name, "DINV_") &&
            !is_test_variable(name)) {
            gsize distance;
            g_autofree char *nearest = nearest_name(name, FALSE, &distance);
            g_autofree char *shown = g_strescape(name, NULL);
            warn(warnings, "%s is not a setting, ignoring it; did you mean %s?", shown, nearest);
        }
    }
    for (gsize i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');

        if (equals != NULL) {
            g_autofree char *name = g_strndup(environment[i], (gsize)(equals - environment[i]));
            collect_foreign(name, equals + 1, all);
        }
    }
}

/* Takes the flag at words[0]; returns how many words it was, 0 on failure. */
static int collect_flag(char **words, int count, GivenSettings *all, GError **error) {
    const char *equals = strchr(words[0], '=');
    g_autofree char *name =
        equals == NULL ? g_strdup(words[0]) : g_strndup(words[0], (gsize)(equals - words[0]));
    g_autofree char *nearest = NULL;
    g_autofree char *shown = NULL;
    gsize distance;
    gsize index = 0;

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL;
         setting++, index++) {
        g_autofree char *flag = dinv_setting_flag(setting);

        if (strcmp(name, flag) != 0) {
            continue;
        }
        if (equals == NULL && count < 2) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_FLAG,
                        "%s: needs a value (%s)", name, setting->argument);
            return 0;
        }
        give(&all->given[index], flag, equals == NULL ? words[1] : equals + 1);
        return equals == NULL ? 2 : 1;
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_HELP, "help was asked for");
        return 0;
    }
    nearest = nearest_name(name, TRUE, &distance);
    shown = g_strescape(name, NULL);
    g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_FLAG,
                "%s: no such flag; did you mean %s?", shown, nearest);
    return 0;
}

/* Returns how many words were flags and their values, with a "--" behind them; -1 on failure. */
static int collect_flags(int argc, char **argv, DinvSettingsIsForeign is_foreign,
                         GivenSettings *all, GError **error) {
    int taken = 0;

    while (taken < argc && argv[taken][0] == '-' && argv[taken][1] != '\0') {
        int words;

        if (strcmp(argv[taken], "--") == 0) {
            return taken + 1;
        }
        if (is_foreign(argv[taken])) {
            break;
        }
        words = collect_flag(argv + taken, argc - taken, all, error);
        if (words == 0) {
            return -1;
        }
        taken += words;
    }
    return taken;
}

static gboolean parse_id(const DinvSetting *setting, const char *text, gpointer field,
                         GError **error) {
    guint64 value;

    G_STATIC_ASSERT(sizeof(uid_t) == sizeof(guint32) && sizeof(gid_t) == sizeof(guint32));
    if (!dinv_settings_parse_number(
            text, strcmp(setting->argument, "UID") == 0 ? "a user id" : "a group id", 0,
            G_MAXUINT32 - 1, &value, error)) {
        return FALSE;
    }
    *(guint32 *)field = (guint32)value;
    return TRUE;
}

static gboolean parse_path(const char *text, char **path, GError **error) {
    if (strpbrk(text, "\t\n") != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "the path has a tab or newline in it");
        return FALSE;
    }
    while (text[0] == '/' && text[1] == '/') { /* two at the front would be kept */
        text++;
    }
    g_free(*path);
    *path = g_canonicalize_filename(text, NULL);
    return TRUE;
}

/* Empty stays so; settle_tcp() sees what that means. */
static gboolean parse_tls_directory(const char *text, char **path, GError **error) {
    if (*text == '\0') {
        g_free(*path);
        *path = g_strdup("");
        return TRUE;
    }
    return parse_path(text, path, error);
}

static gboolean parse_words(const char *text, char ***words, GError **error) {
    g_autoptr(GError) failure = NULL;
    char **parsed = NULL;

    if (!g_shell_parse_argv(text, NULL, &parsed, &failure) &&
        !g_error_matches(failure, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" does not split into words: %s", text, failure->message);
        return FALSE;
    }
    if (parsed == NULL) {
        parsed = g_new0(char *, 1);
    }
    g_strfreev(*words);
    *words = parsed;
    return TRUE;
}

/* Parses `text` into the setting's field of `config`. */
static gboolean parse_setting(const DinvSetting *setting, const char *text, DinvConfig *config,
                              GError **error) {
    gpointer field = G_STRUCT_MEMBER_P(config, setting->offset);
    guint64 number;

    G_STATIC_ASSERT(sizeof(DinvAccel) == sizeof(guint) && sizeof(DinvLogLevel) == sizeof(guint));
    switch (setting->type) {
    case DINV_TYPE_CHOICE:
        return dinv_settings_parse_choice(text, setting->argument, field, error);
    case DINV_TYPE_NUMBER:
        if (!dinv_settings_parse_number(text, "a number", setting->minimum, setting->maximum,
                                        &number, error)) {
            return FALSE;
        }
        *(guint *)field = (guint)number;
        return TRUE;
    case DINV_TYPE_ID:
        return parse_id(setting, text, field, error);
    case DINV_TYPE_MODE:
        return dinv_settings_parse_mode(text, field, error);
    case DINV_TYPE_SIZE:
        if (!dinv_settings_parse_size(text, setting->minimum, setting->maximum, &number, error)) {
            return FALSE;
        }
        *(guint64 *)field = number >> 20 << 20; /* whole MiB, as DinvConfig promises */
        return TRUE;
    case DINV_TYPE_DURATION:
        return dinv_settings_parse_duration(text, (guint)setting->minimum, (guint)setting->maximum,
                                            field, error);
    case DINV_TYPE_PATH:
        return parse_path(text, field, error);
    case DINV_TYPE_GUEST_PATH:
        return dinv_settings_parse_guest_path(text, field, error);
    case DINV_TYPE_PROGRAM: /* a name stays a name, a path is made absolute */
        if (strchr(text, '/') != NULL) {
            return parse_path(text, field, error);
        }
        g_free(*(char **)field);
        *(char **)field = g_strdup(text);
        return TRUE;
    case DINV_TYPE_TEXT:
        g_free(*(char **)field);
        *(char **)field = g_strdup(text);
        return TRUE;
    case DINV_TYPE_WORDS:
        return parse_words(text, field, error);
    case DINV_TYPE_TCP_PORTS:
        return dinv_settings_parse_ports(text, DINV_PROTOCOL_TCP, config->ports, error);
    case DINV_TYPE_UDP_PORTS:
        return dinv_settings_parse_ports(text, DINV_PROTOCOL_UDP, config->ports, error);
    case DINV_TYPE_MOUNTS:
        return dinv_settings_parse_mounts(text, config->mounts, &config->mounts_auto, error);
    case DINV_TYPE_SUBNET:
        return dinv_settings_parse_subnet(text, field, error);
    case DINV_TYPE_BRIDGE_ADDRESS:
        return dinv_settings_parse_bridge_address(text, field, error);
    case DINV_TYPE_TLS_DIRECTORY:
        return parse_tls_directory(text, field, error);
    case DINV_TYPE_TLS_NAMES:
        return dinv_settings_parse_certificate_names(text, field, error);
    case DINV_TYPE_TCP_ADDRESS:
        return dinv_settings_parse_tcp_address(text, field, error);
    }
    g_assert_not_reached();
}

/* The TCP ports follow from the directory for TLS: given, empty, or not given. */
static void settle_tcp(DinvConfig *config) {
    if (config->tls_directory != NULL && *config->tls_directory != '\0') {
        return;
    }
    if (config->tls_directory != NULL && config->plaintext.port == 0) {
        config->plaintext.port = PLAINTEXT_PORT;
    }
    g_clear_pointer(&config->tls_directory, g_free);
    config->tls.port = 0;
}

/* The engine's own ports are no others' as well. */
static gboolean check_tcp(const DinvConfig *config, GError **error) {
    if (config->tls.port != 0 && config->tls.port == config->plaintext.port) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                    "port %u is both DINV_TLS_PORT and DINV_PLAINTEXT_PORT", config->tls.port);
        return FALSE;
    }
    for (guint i = 0; i < config->ports->len; i++) {
        const DinvPortForward *forward = &g_array_index(config->ports, DinvPortForward, i);
        gboolean is_tls = forward->host_port == config->tls.port;

        if (forward->protocol == DINV_PROTOCOL_TCP &&
            (is_tls || forward->host_port == config->plaintext.port)) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "DINV_TCP_PORTS: port %u is where the engine answers (%s)",
                        forward->host_port, is_tls ? "DINV_TLS_PORT" : "DINV_PLAINTEXT_PORT");
            return FALSE;
        }
    }
    return TRUE;
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

/* What no single parser can see. */
static gboolean check_config(const DinvConfig *config, const char *socket_origin, GError **error) {
    const gsize longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    gsize length = config->socket_path == NULL ? 0 : strlen(config->socket_path);

    if (length > longest) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "%s: \"%s\" is %" G_GSIZE_FORMAT
                    " bytes long, the path of a socket can have %" G_GSIZE_FORMAT,
                    socket_origin == NULL ? "DINV_SOCKET" : socket_origin, config->socket_path,
                    length, longest);
        return FALSE;
    }
    return check_tcp(config, error) && check_volume(config, error);
}

static DinvConfig *config_new(const DinvHostLimits *limits) {
    DinvConfig *config = g_new0(DinvConfig, 1);

    config->cpus = dinv_host_limits_default_cpus(limits);
    config->memory_bytes = dinv_host_limits_default_memory(limits);
    config->socket_uid = (uid_t)-1;
    config->socket_gid = (gid_t)-1;
    config->volume_uid = (uid_t)-1;
    config->volume_gid = (gid_t)-1;
    config->ports = g_array_new(FALSE, FALSE, sizeof(DinvPortForward));
    config->mounts = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    config->dockerd_args = g_new0(char *, 1);
    return config;
}

/* Messages quote values, and the guest gets them as JSON. */
static gboolean is_printable(const char *text) {
    if (!g_utf8_validate(text, -1, NULL)) {
        return FALSE;
    }
    for (; *text != '\0'; text++) {
        if (g_ascii_iscntrl(*text) && *text != '\t' && *text != '\n') {
            return FALSE;
        }
    }
    return TRUE;
}

/* The whole config from what was given. */
static DinvConfig *config_from(const GivenSettings *all, const DinvHostLimits *limits,
                               GPtrArray *warnings, GError **error) {
    g_autoptr(DinvConfig) config = config_new(limits);
    const char *socket_origin = NULL;
    gsize index = 0;

    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL;
         setting++, index++) {
        const Given *given = &all->given[index];
        gboolean is_given = given->text != NULL && (given->text[0] != '\0' || takes_empty(setting));
        const char *text = is_given ? given->text : setting->fallback;
        const char *origin = is_given ? given->origin : setting->name;

        if (text == NULL) {
            continue;
        }
        if (!is_printable(text)) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "%s: the value is not UTF-8 or has control characters in it", origin);
            return NULL;
        }
        if (!parse_setting(setting, text, config, error)) {
            g_prefix_error(error, "%s: ", origin);
            return NULL;
        }
        if (setting->offset == G_STRUCT_OFFSET(DinvConfig, log_level)) {
            config->log_level_given = is_given;
        }
        if (setting->offset == G_STRUCT_OFFSET(DinvConfig, socket_path)) {
            socket_origin = origin;
        }
        if (setting->offset == G_STRUCT_OFFSET(DinvConfig, cpus) &&
            config->cpus > limits->cpus_online) {
            warn(warnings, "%s: the guest gets %u CPUs, but there are only %u to run them", origin,
                 config->cpus, limits->cpus_online);
        }
    }
    settle_tcp(config);
    if (!check_config(config, socket_origin, error)) {
        return NULL;
    }
    return g_steal_pointer(&config);
}

gboolean dinv_settings_add_dockerd_arguments(DinvConfig *config, char *const *words, int count,
                                             GError **error) {
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();

    g_strv_builder_addv(all, (const char **)config->dockerd_args);
    for (int i = 0; i < count; i++) {
        if (!is_printable(words[i]) || strpbrk(words[i], "\t\n") != NULL) {
            g_autofree char *shown = g_strescape(words[i], NULL);
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "the argument \"%s\" for dockerd is not UTF-8 or has control characters in "
                        "it",
                        shown);
            return FALSE;
        }
        g_strv_builder_add(all, words[i]);
    }
    g_strfreev(config->dockerd_args);
    config->dockerd_args = g_strv_builder_end(all);
    return TRUE;
}

DinvConfig *dinv_settings_load_with_limits(const char *const *environment, int *argc, char ***argv,
                                           DinvSettingsIsForeign is_foreign,
                                           const DinvHostLimits *limits, GPtrArray *warnings,
                                           GError **error) {
    g_autoptr(GivenSettings) all = g_new0(GivenSettings, 1);
    DinvConfig *config;
    int taken;

    collect_environment(environment, all, warnings);
    taken = collect_flags(*argc, *argv, is_foreign, all, error);
    if (taken < 0) {
        return NULL;
    }
    config = config_from(all, limits, warnings, error);
    if (config == NULL) {
        return NULL;
    }
    *argc -= taken;
    *argv += taken;
    return config;
}

DinvConfig *dinv_settings_load(const char *const *environment, int *argc, char ***argv,
                               DinvSettingsIsForeign is_foreign, GPtrArray *warnings,
                               GError **error) {
    DinvHostLimits limits;

    dinv_host_limits_read("", &limits);
    return dinv_settings_load_with_limits(environment, argc, argv, is_foreign, &limits, warnings,
                                          error);
}

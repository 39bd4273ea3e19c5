/* SPDX-License-Identifier: MIT */
/*
 * What each type of the table means for a field of DinvConfig. The texts themselves are parsed as
 * types.h says; whatever sees only one type's text is here.
 */
#include "launcher/settings/values.h"

#include <string.h>

static gboolean parse_choice_value(const DinvSetting *setting, const char *text, gpointer field,
                                   GError **error) {
    G_STATIC_ASSERT(sizeof(DinvAccel) == sizeof(guint) && sizeof(DinvLogLevel) == sizeof(guint));
    G_STATIC_ASSERT(sizeof(DinvMachineType) == sizeof(guint));
    G_STATIC_ASSERT(sizeof(DinvMountDriver) == sizeof(guint));
    G_STATIC_ASSERT(sizeof(DinvPublish) == sizeof(guint));
    return dinv_settings_parse_choice(text, setting->choices, field, error);
}

static gboolean parse_number_value(const DinvSetting *setting, const char *text, guint *field,
                                   GError **error) {
    guint64 number = 0;
    if (!dinv_settings_parse_number(text, "a number", setting->minimum, setting->maximum, &number,
                                    error)) {
        return FALSE;
    }
    *field = (guint)number;
    return TRUE;
}

/* `what` is what the message calls it. The largest number stands for "not given". */
static gboolean parse_id_value(const char *text, const char *what, guint32 *field, GError **error) {
    G_STATIC_ASSERT(sizeof(uid_t) == sizeof(guint32) && sizeof(gid_t) == sizeof(guint32));
    guint64 number = 0;
    if (!dinv_settings_parse_number(text, what, 0, G_MAXUINT32 - 1, &number, error)) {
        return FALSE;
    }
    *field = (guint32)number;
    return TRUE;
}

static gboolean parse_size_value(const DinvSetting *setting, const char *text, guint64 *field,
                                 GError **error) {
    guint64 bytes = 0;
    if (!dinv_settings_parse_size(text, setting->minimum, setting->maximum, &bytes, error)) {
        return FALSE;
    }
    *field = bytes >> 20 << 20; /* whole MiB, as DinvConfig promises */
    return TRUE;
}

static gboolean set_text(const char *text, char **field) {
    g_free(*field);
    *field = g_strdup(text);
    return TRUE;
}

/* An empty text comes here only where the setting takes one, and stays empty. */
static gboolean parse_path_value(const char *text, char **field, GError **error) {
    if (*text == '\0') {
        return set_text(text, field);
    }
    if (strpbrk(text, "\t\n") != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "the path has a tab or newline in it");
        return FALSE;
    }
    while (text[0] == '/' && text[1] == '/') { /* two at the front would be kept */
        text++;
    }
    g_free(*field);
    *field = g_canonicalize_filename(text, NULL);
    return TRUE;
}

/* A name stays a name, to be found in PATH; a path is made absolute. */
static gboolean parse_program_value(const char *text, char **field, GError **error) {
    return strchr(text, '/') == NULL ? set_text(text, field) : parse_path_value(text, field, error);
}

static gboolean parse_words_value(const char *text, char ***field, GError **error) {
    g_autoptr(GError) failure = NULL;
    char **parsed = NULL;
    if (!g_shell_parse_argv(text, NULL, &parsed, &failure) &&
        !g_error_matches(failure, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" does not split into words: %s", text, failure->message);
        return FALSE;
    }
    g_strfreev(*field);
    *field = parsed != NULL ? parsed : g_new0(char *, 1);
    return TRUE;
}

gboolean dinv_settings_value_parse(const DinvSetting *setting, const char *text, DinvConfig *config,
                                   GError **error) {
    gpointer field = G_STRUCT_MEMBER_P(config, setting->field);
    switch (setting->type) {
    case DINV_TYPE_CHOICE:
        return parse_choice_value(setting, text, field, error);
    case DINV_TYPE_NUMBER:
        return parse_number_value(setting, text, field, error);
    case DINV_TYPE_UID:
        return parse_id_value(text, "a user id", field, error);
    case DINV_TYPE_GID:
        return parse_id_value(text, "a group id", field, error);
    case DINV_TYPE_MODE:
        return dinv_settings_parse_mode(text, field, error);
    case DINV_TYPE_SIZE:
        return parse_size_value(setting, text, field, error);
    case DINV_TYPE_DURATION:
        return dinv_settings_parse_duration(text, (guint)setting->minimum, (guint)setting->maximum,
                                            field, error);
    case DINV_TYPE_PATH:
        return parse_path_value(text, field, error);
    case DINV_TYPE_GUEST_PATH:
        return dinv_settings_parse_guest_path(text, field, error);
    case DINV_TYPE_PROGRAM:
        return parse_program_value(text, field, error);
    case DINV_TYPE_WORDS:
        return parse_words_value(text, field, error);
    case DINV_TYPE_TEXT:
        return set_text(text, field);
    case DINV_TYPE_TCP_PORTS:
        return dinv_settings_parse_ports(text, DINV_PROTOCOL_TCP, *(GArray **)field, error);
    case DINV_TYPE_UDP_PORTS:
        return dinv_settings_parse_ports(text, DINV_PROTOCOL_UDP, *(GArray **)field, error);
    case DINV_TYPE_MOUNTS:
        return dinv_settings_parse_mounts(text, *(GPtrArray **)field, &config->mounts_auto, error);
    case DINV_TYPE_SUBNET:
        return dinv_settings_parse_subnet(text, field, error);
    case DINV_TYPE_BRIDGE_ADDRESS:
        return dinv_settings_parse_bridge_address(text, field, error);
    case DINV_TYPE_TLS_NAMES:
        return dinv_settings_parse_certificate_names(text, field, error);
    case DINV_TYPE_TCP_ADDRESS:
        return dinv_settings_parse_tcp_address(text, field, error);
    }
    g_assert_not_reached();
}

void dinv_settings_value_init(const DinvSetting *setting, DinvConfig *config) {
    gpointer field = G_STRUCT_MEMBER_P(config, setting->field);
    switch (setting->type) {
    case DINV_TYPE_UID:
    case DINV_TYPE_GID:
        *(guint32 *)field = G_MAXUINT32; /* (uid_t)-1 */
        break;
    case DINV_TYPE_WORDS:
        *(char ***)field = g_new0(char *, 1);
        break;
    case DINV_TYPE_TCP_PORTS: /* the other protocol's setting may have made the list */
    case DINV_TYPE_UDP_PORTS:
        if (*(GArray **)field == NULL) {
            *(GArray **)field = g_array_new(FALSE, FALSE, sizeof(DinvPortForward));
        }
        break;
    case DINV_TYPE_MOUNTS:
        *(GPtrArray **)field = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
        break;
    case DINV_TYPE_CHOICE:
    case DINV_TYPE_NUMBER:
    case DINV_TYPE_MODE:
    case DINV_TYPE_SIZE:
    case DINV_TYPE_DURATION:
    case DINV_TYPE_PATH:
    case DINV_TYPE_GUEST_PATH:
    case DINV_TYPE_PROGRAM:
    case DINV_TYPE_TEXT:
    case DINV_TYPE_SUBNET:
    case DINV_TYPE_BRIDGE_ADDRESS:
    case DINV_TYPE_TLS_NAMES:
    case DINV_TYPE_TCP_ADDRESS:
        break;
    }
}

void dinv_settings_value_clear(const DinvSetting *setting, DinvConfig *config) {
    gpointer field = G_STRUCT_MEMBER_P(config, setting->field);
    switch (setting->type) {
    case DINV_TYPE_PATH:
    case DINV_TYPE_GUEST_PATH:
    case DINV_TYPE_PROGRAM:
    case DINV_TYPE_TEXT:
        g_clear_pointer((char **)field, g_free);
        break;
    case DINV_TYPE_WORDS:
    case DINV_TYPE_TLS_NAMES:
        g_clear_pointer((char ***)field, g_strfreev);
        break;
    case DINV_TYPE_TCP_PORTS:
    case DINV_TYPE_UDP_PORTS:
        g_clear_pointer((GArray **)field, g_array_unref);
        break;
    case DINV_TYPE_MOUNTS:
        g_clear_pointer((GPtrArray **)field, g_ptr_array_unref);
        break;
    case DINV_TYPE_CHOICE:
    case DINV_TYPE_NUMBER:
    case DINV_TYPE_UID:
    case DINV_TYPE_GID:
    case DINV_TYPE_MODE:
    case DINV_TYPE_SIZE:
    case DINV_TYPE_DURATION:
    case DINV_TYPE_SUBNET:
    case DINV_TYPE_BRIDGE_ADDRESS:
    case DINV_TYPE_TCP_ADDRESS:
        break;
    }
}

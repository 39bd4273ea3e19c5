/* SPDX-License-Identifier: MIT */
/*
 * The list of mounts, and paths in the guest. A path of the list may hold any byte: in the text a
 * backslash takes a separator's meaning away ("\;", "\:", "\\"), and three octal digits behind it
 * are a byte, as in mountinfo ("\012"). dinv_path_to_text() writes what is read here, for messages
 * and for the guest.
 */
#include "launcher/settings/types.h"

#include <string.h>

#include "mountinfo/mountinfo.h"
#include "wire/mounts.h"

/* The pieces of `text` between separators that have no backslash before them, still escaped. */
static char **split_unescaped(const char *text, const char *separators) {
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *begin = text;
    for (;; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
        } else if (*text == '\0' || strchr(separators, *text) != NULL) {
            g_autofree char *piece = g_strndup(begin, (gsize)(text - begin));
            g_strv_builder_add(builder, piece);
            if (*text == '\0') {
                return g_strv_builder_end(builder);
            }
            begin = text + 1;
        }
    }
}

static gboolean is_octal(const char *digits) {
    return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' &&
           digits[2] >= '0' && digits[2] <= '7' && strncmp(digits, "000", 3) != 0;
}

/* The bytes of a path in `item`; NULL on failure. Transfer full. */
static char *unescape_path(const char *item, const char *text, GError **error) {
    g_autoptr(GString) path = g_string_new(NULL);
    for (; *text != '\0'; text++) {
        if (*text != '\\') {
            g_string_append_c(path, *text);
        } else if (is_octal(text + 1)) {
            char byte[] = {text[0], text[1], text[2], text[3], '\0'};
            dinv_mountinfo_unescape(byte);
            g_string_append_c(path, byte[0]);
            text += 3;
        } else if (text[1] != '\0' && strchr("\\;:", text[1]) != NULL) {
            g_string_append_c(path, *++text);
        } else {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "\"%s\" has a backslash that stands neither before a semicolon, a colon or "
                        "a backslash nor before three octal digits (001-377); "
                        "write a backslash as \\\\",
                        item);
            return NULL;
        }
    }
    return g_strdup(path->str);
}

static char *normalise(const char *path) {
    while (path[1] == '/') { /* two at the front would be kept, as POSIX allows them a meaning */
        path++;
    }
    return g_canonicalize_filename(path, "/");
}

static gboolean parse_mount_path(const char *item, const char *text, char **path, GError **error) {
    g_autofree char *plain = unescape_path(item, text, error);
    if (plain == NULL) {
        return FALSE;
    }
    if (!g_path_is_absolute(plain)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" in \"%s\" is not an absolute path "
                    "(/source, /source:/target or /source:/target:ro)",
                    text, item);
        return FALSE;
    }
    *path = normalise(plain);
    return TRUE;
}

gboolean dinv_settings_parse_guest_path(const char *text, char **path, GError **error) {
    if (text[0] != '/' || strpbrk(text, "\t\n") != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not an absolute path without tabs and newlines", text);
        return FALSE;
    }
    g_autofree char *normal = normalise(text);
    const char *hidden = dinv_mount_hidden(normal, FALSE);
    if (hidden != NULL) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                    "\"%s\" would hide %s of the guest; "
                    "name a directory of its own, such as /volume",
                    normal, hidden);
        return FALSE;
    }
    g_free(*path);
    *path = g_steal_pointer(&normal);
    return TRUE;
}

static gboolean check_hidden(const DinvMountSpec *mount, GError **error) {
    const char *hidden = dinv_mount_hidden(mount->target, FALSE);
    if (hidden == NULL) {
        return TRUE;
    }
    g_autofree char *source = dinv_path_to_text(mount->source);
    g_autofree char *target = dinv_path_to_text(mount->target);
    g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                "a mount on \"%s\" would hide %s of the guest; "
                "name another target, as in \"%s:/mnt%s\"",
                target, hidden, source, source);
    return FALSE;
}

/* "/source[:/target][:ro|:rw]"; NULL on failure. Transfer full. */
static DinvMountSpec *parse_mount(const char *item, GError **error) {
    g_auto(GStrv) parts = split_unescaped(item, ":");
    guint count = g_strv_length(parts);
    g_autoptr(DinvMountSpec) mount = g_new0(DinvMountSpec, 1);
    if (count > 1 && (strcmp(parts[count - 1], "ro") == 0 || strcmp(parts[count - 1], "rw") == 0)) {
        mount->readonly = strcmp(parts[count - 1], "ro") == 0;
        count--;
    }
    if (count > 2) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not of the form /source, /source:/target or /source:/target:ro",
                    item);
        return NULL;
    }
    if (!parse_mount_path(item, parts[0], &mount->source, error) ||
        !parse_mount_path(item, parts[count - 1], &mount->target, error) ||
        !check_hidden(mount, error)) {
        return NULL;
    }
    return g_steal_pointer(&mount);
}

static gboolean check_target(const GPtrArray *mounts, const DinvMountSpec *mount, GError **error) {
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *other = mounts->pdata[i];
        if (strcmp(other->target, mount->target) == 0) {
            g_autofree char *target = dinv_path_to_text(mount->target);
            g_autofree char *one = dinv_path_to_text(other->source);
            g_autofree char *two = dinv_path_to_text(mount->source);
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_CONFLICT,
                        "\"%s\" is the target of both \"%s\" and \"%s\"", target, one, two);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean dinv_settings_parse_mounts(const char *text, GPtrArray *mounts, gboolean *automatic,
                                    GError **error) {
    g_auto(GStrv) items = split_unescaped(text, ";\n");
    g_autoptr(GPtrArray) parsed =
        g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    gboolean is_auto = FALSE;
    for (guint i = 0; items[i] != NULL; i++) {
        if (*g_strstrip(items[i]) == '\0') {
            continue;
        }
        if (strcmp(items[i], "auto") == 0) {
            is_auto = TRUE;
            continue;
        }
        g_autoptr(DinvMountSpec) mount = parse_mount(items[i], error);
        if (mount == NULL || !check_target(parsed, mount, error)) {
            return FALSE;
        }
        if (parsed->len == DINV_WIRE_MOUNTS_MAX) {
            g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                        "these are more than %u mounts; mount a common parent directory",
                        DINV_WIRE_MOUNTS_MAX);
            return FALSE;
        }
        g_ptr_array_add(parsed, g_steal_pointer(&mount));
    }
    g_ptr_array_extend_and_steal(mounts, g_steal_pointer(&parsed));
    *automatic = is_auto;
    return TRUE;
}

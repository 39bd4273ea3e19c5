/* SPDX-License-Identifier: MIT */
/* What every part that handles a mount needs to know of it; pure functions of paths. */
#include "launcher/mounts/spec.h"

#include <string.h>

#include "wire/paths.h"

void dinv_mount_spec_free(DinvMountSpec *mount) {
    if (mount == NULL) {
        return;
    }
    g_free(mount->source);
    g_free(mount->target);
    g_free(mount);
}

DinvMountSpec *dinv_mount_spec_copy(const DinvMountSpec *mount) {
    DinvMountSpec *copy = g_new(DinvMountSpec, 1);
    *copy = *mount;
    copy->source = g_strdup(mount->source);
    copy->target = g_strdup(mount->target);
    return copy;
}

gboolean dinv_path_is_within(const char *path, const char *directory) {
    gsize length = strlen(directory);
    if (strcmp(directory, "/") == 0) {
        return TRUE;
    }
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* May not be covered, whole or with a parent; a directory within them may. */
static const char *const kept[] = {"/bin",  "/etc",     "/lib",     "/lib64",    "/run",
                                   "/sbin", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/run"};
/* May not be covered, and nothing may be mounted in them: the kernel's own, and the data disk. */
static const char *const closed[] = {"/boot", "/dev", "/proc", "/sys", DINV_WIRE_DATA_ROOT};

const char *dinv_mount_hidden(const char *target, gboolean strictly) {
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        if (dinv_path_is_within(kept[i], target) ||
            (strictly && dinv_path_is_within(target, kept[i]))) {
            return kept[i];
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(closed); i++) {
        if (dinv_path_is_within(closed[i], target) || dinv_path_is_within(target, closed[i])) {
            return closed[i];
        }
    }
    return NULL;
}

char *dinv_path_to_text(const char *path) {
    GString *text = g_string_new(NULL);
    while (*path != '\0') {
        gunichar c = g_utf8_get_char_validated(path, -1);
        gboolean valid = c != (gunichar)-1 && c != (gunichar)-2;
        gsize length = valid ? (gsize)(g_utf8_next_char(path) - path) : 1;
        if (!valid || g_unichar_iscntrl(c) || strchr("\\;:", *path) != NULL) {
            for (gsize i = 0; i < length; i++) {
                g_string_append_printf(text, "\\%03o", (guchar)path[i]);
            }
        } else {
            g_string_append_len(text, path, (gssize)length);
        }
        path += length;
    }
    return g_string_free(text, FALSE);
}

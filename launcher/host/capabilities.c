/* SPDX-License-Identifier: MIT */
/* The line CapEff of /proc/self/status: a set of 64 bits, in hexadecimal. */
#include "launcher/host/capabilities.h"

#include <string.h>

#define EFFECTIVE_LINE "\nCapEff:"

gboolean dinv_host_has_capabilities(const char *root, const int *capabilities, gsize count) {
    g_autofree char *path = g_strconcat(root, "/proc/self/status", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return FALSE;
    }
    const char *line = strstr(text, EFFECTIVE_LINE);
    if (line == NULL) {
        return FALSE;
    }
    guint64 effective = g_ascii_strtoull(line + strlen(EFFECTIVE_LINE), NULL, 16);
    for (gsize i = 0; i < count; i++) {
        if ((effective >> capabilities[i] & 1) == 0) {
            return FALSE;
        }
    }
    return TRUE;
}

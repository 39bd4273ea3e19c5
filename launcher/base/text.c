/* SPDX-License-Identifier: MIT */
/* Judges text that came from outside; log.c makes it fit to be shown. */
#include "launcher/base/text.h"

#include <string.h>

gboolean dinv_text_is_printable(const char *text, const char *allowed) {
    for (const char *c = text; *c != '\0'; c++) {
        if (g_ascii_iscntrl(*c) && strchr(allowed, *c) == NULL) {
            return FALSE;
        }
    }
    return g_utf8_validate(text, -1, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tells dockerd's parting words from the lines of its log. */
#include "launcher/engine/reason.h"

#include "launcher/base/log.h"

/* "See 'dockerd --help'." follows a flag that it does not know. */
static gboolean is_reason(const char *line) {
    return line[0] != '\0' && !g_str_has_prefix(line, "time=") && !g_str_has_prefix(line, "See ");
}

char *dinv_engine_reason(const char *log) {
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);
    for (guint i = g_strv_length(lines); i-- > 0;) {
        g_strstrip(lines[i]);
        if (lines[i][0] != '\0' && is_reason(lines[i])) {
            return dinv_log_printable_line(lines[i]);
        }
        if (g_str_has_prefix(lines[i], "time=")) {
            break; /* its end is behind the last of these */
        }
    }
    return NULL;
}

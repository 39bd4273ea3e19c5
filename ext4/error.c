/* SPDX-License-Identifier: MIT */
/* error: the error domain, and texts for its messages. */
#include "ext4/error.h"

G_DEFINE_QUARK(dinv_ext4_image_error, dinv_ext4_image_error)

void dinv_ext4_image_set_errno(GError **error, int error_number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO, "%s: %s", what,
                g_strerror(error_number));
}

char *dinv_ext4_image_size_text(guint64 bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    guint unit = 0;
    guint64 divisor = 1;
    while (unit + 1 < G_N_ELEMENTS(units) && bytes / divisor >= 1024) {
        divisor *= 1024;
        unit++;
    }
    guint64 whole = bytes / divisor;
    guint64 tenths = unit == 0 ? 0 : (bytes % divisor) / (divisor / 1024) * 10 / 1024;
    if (tenths == 0 || whole >= 100) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", whole, units[unit]);
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", whole, tenths,
                           units[unit]);
}

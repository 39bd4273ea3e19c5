/* SPDX-License-Identifier: MIT */
/* Numbers: plain ones, sizes with a unit, times, and file modes. */
#include "launcher/settings/types.h"

#include <string.h>

#define FRACTION_DIGITS_MAX 6u /* 10^6 times the largest unit, 2^40, still fits into 64 bits */

/* A decimal number with an optional fraction, kept exact: (whole * scale + fraction) / scale. */
typedef struct {
    guint64 whole;
    guint64 fraction;
    guint64 scale;
} Decimal;

/* Reads a decimal from the front of `text` and returns what follows it; NULL if there is none or it
 * is too large. */
static const char *read_decimal(const char *text, Decimal *decimal) {
    Decimal result = {.scale = 1};
    const char *cursor = text;
    for (; g_ascii_isdigit(*cursor); cursor++) {
        if (!g_uint64_checked_mul(&result.whole, result.whole, 10) ||
            !g_uint64_checked_add(&result.whole, result.whole, (guint64)(*cursor - '0'))) {
            return NULL;
        }
    }
    if (cursor == text) {
        return NULL;
    }
    if (*cursor == '.') {
        const char *start = ++cursor;
        for (; g_ascii_isdigit(*cursor); cursor++) {
            if ((gsize)(cursor - start) >= FRACTION_DIGITS_MAX) {
                return NULL;
            }
            result.fraction = result.fraction * 10 + (guint64)(*cursor - '0');
            result.scale *= 10;
        }
        if (cursor == start) {
            return NULL;
        }
    }
    *decimal = result;
    return cursor;
}

/* decimal * unit, rounded down; FALSE on overflow. */
static gboolean scale_decimal(const Decimal *decimal, guint64 unit, guint64 *result) {
    guint64 whole = 0;
    if (!g_uint64_checked_mul(&whole, decimal->whole, unit)) {
        return FALSE;
    }
    guint64 part = decimal->fraction * unit / decimal->scale;
    return g_uint64_checked_add(result, whole, part);
}

/* The unit of a size suffix, 0 if it is none. */
static guint64 size_unit(const char *suffix) {
    static const char letters[] = "KMGT";
    if (*suffix == '\0' || g_ascii_strcasecmp(suffix, "B") == 0) {
        return 1;
    }
    const char *letter = strchr(letters, g_ascii_toupper(*suffix));
    if (letter == NULL) {
        return 0;
    }
    suffix++;
    if (*suffix != '\0' && g_ascii_strcasecmp(suffix, "B") != 0 &&
        g_ascii_strcasecmp(suffix, "iB") != 0) {
        return 0;
    }
    return G_GUINT64_CONSTANT(1) << (10 * (letter - letters + 1));
}

char *dinv_settings_format_size(guint64 bytes) {
    static const char letters[] = "KMGT";
    for (int power = 4; power >= 1; power--) {
        guint64 unit = G_GUINT64_CONSTANT(1) << (10 * power);
        if (bytes < unit) {
            continue;
        }
        if (bytes % unit == 0) {
            return g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes / unit, letters[power - 1]);
        }
        if (bytes % (unit / 4) == 0) { /* .25, .5 and .75 are exact in few digits */
            static const char *const fractions[] = {"", ".25", ".5", ".75"};
            guint64 quarters = bytes / (unit / 4);
            return g_strdup_printf("%" G_GUINT64_FORMAT "%s%c", quarters / 4,
                                   fractions[quarters % 4], letters[power - 1]);
        }
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
}

gboolean dinv_settings_parse_size(const char *text, guint64 minimum, guint64 maximum,
                                  guint64 *bytes, GError **error) {
    Decimal decimal = {0};
    const char *suffix = read_decimal(text, &decimal);
    guint64 unit = suffix == NULL ? 0 : size_unit(suffix);
    guint64 value = 0;
    if (unit == 0 || !scale_decimal(&decimal, unit, &value)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not a size (such as 512M, 1.5G or 2T)", text);
        return FALSE;
    }
    if (value < minimum) {
        g_autofree char *least = dinv_settings_format_size(minimum);
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\"%s is too small, the least is %s", text,
                    unit == 1 ? " (bytes: no M or G behind it)" : "", least);
        return FALSE;
    }
    if (value > maximum) {
        g_autofree char *most = dinv_settings_format_size(maximum);
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is too large, the most is %s", text, most);
        return FALSE;
    }
    *bytes = value;
    return TRUE;
}

gboolean dinv_settings_parse_duration(const char *text, guint minimum_ms, guint maximum_ms,
                                      guint *milliseconds, GError **error) {
    static const struct {
        const char *suffix;
        guint unit;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    Decimal decimal = {0};
    const char *suffix = read_decimal(text, &decimal);
    guint64 value = 0;
    gboolean known = FALSE;
    for (gsize i = 0; suffix != NULL && !known && i < G_N_ELEMENTS(units); i++) {
        if (strcmp(suffix, units[i].suffix) == 0) {
            known = scale_decimal(&decimal, units[i].unit, &value);
        }
    }
    if (!known) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not a time (seconds, such as 8 or 1.5, or with ms, s, m or h)",
                    text);
        return FALSE;
    }
    if (value < minimum_ms || value > maximum_ms) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is out of range (%u to %u seconds)", text, minimum_ms / 1000,
                    maximum_ms / 1000);
        return FALSE;
    }
    *milliseconds = (guint)value;
    return TRUE;
}

gboolean dinv_settings_parse_number(const char *text, const char *what, guint64 minimum,
                                    guint64 maximum, guint64 *number, GError **error) {
    /* g_ascii_string_to_unsigned() refuses signs and white space, but not leading zeros. */
    if (!g_ascii_string_to_unsigned(text, 10, minimum, maximum, number, NULL)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not %s (%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT ")", text, what,
                    minimum, maximum);
        return FALSE;
    }
    return TRUE;
}

gboolean dinv_settings_parse_mode(const char *text, mode_t *mode, GError **error) {
    guint64 value = 0;
    if (!g_ascii_string_to_unsigned(text, 8, 0, 0777, &value, NULL)) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not a file mode (octal, 0 to 0777, such as 0660)", text);
        return FALSE;
    }
    *mode = (mode_t)value;
    return TRUE;
}

/* SPDX-License-Identifier: MIT */
/* Rows of text in Markdown, and figures as people read them. */
#include "launcher/bench/table.h"

#include <stdlib.h>
#include <string.h>

#include "launcher/base/log.h"

#define COLUMNS 3u

typedef struct {
    char *cells[COLUMNS];
} Row;

struct DinvBenchTable {
    GPtrArray *rows; /* of Row* */
};

static void row_free(gpointer data) {
    Row *row = data;
    for (guint i = 0; i < COLUMNS; i++) {
        g_free(row->cells[i]);
    }
    g_free(row);
}

/* Text for one cell: one line, in which a bar and what Markdown or HTML would take for itself mean
 * nothing. */
static char *make_cell(const char *text) {
    g_autofree char *line = dinv_log_printable_line(text);
    GString *cell = g_string_new(NULL);
    for (const char *cursor = line; *cursor != '\0'; cursor++) {
        if (strchr("\\|`*_<>[]", *cursor) != NULL) {
            g_string_append_c(cell, '\\');
        }
        g_string_append_c(cell, *cursor);
    }
    return g_string_free(cell, FALSE);
}

DinvBenchTable *dinv_bench_table_new(void) {
    DinvBenchTable *table = g_new0(DinvBenchTable, 1);
    table->rows = g_ptr_array_new_with_free_func(row_free);
    dinv_bench_table_add(table, "dinv doctor --bench", "Result", "How");
    return table;
}

void dinv_bench_table_free(DinvBenchTable *table) {
    if (table != NULL) {
        g_ptr_array_unref(table->rows);
        g_free(table);
    }
}

void dinv_bench_table_add(DinvBenchTable *table, const char *what, const char *figure,
                          const char *how) {
    Row *row = g_new0(Row, 1);
    row->cells[0] = make_cell(what);
    row->cells[1] = make_cell(figure);
    row->cells[2] = make_cell(how != NULL ? how : "");
    g_ptr_array_add(table->rows, row);
}

static void append_row(GString *output, const Row *row, const gsize *widths) {
    for (guint i = 0; i < COLUMNS; i++) {
        gsize length = (gsize)g_utf8_strlen(row->cells[i], -1);
        g_string_append_printf(output, "| %s%*s ", row->cells[i], (int)(widths[i] - length), "");
    }
    g_string_append(output, "|\n");
}

char *dinv_bench_table_to_markdown(const DinvBenchTable *table) {
    GString *output = g_string_new(NULL);
    gsize widths[COLUMNS] = {0};
    for (guint i = 0; i < table->rows->len; i++) {
        const Row *row = table->rows->pdata[i];
        for (guint column = 0; column < COLUMNS; column++) {
            gsize length = (gsize)g_utf8_strlen(row->cells[column], -1);
            widths[column] = MAX(widths[column], length);
        }
    }
    for (guint i = 0; i < table->rows->len; i++) {
        append_row(output, table->rows->pdata[i], widths);
        if (i == 0) {
            g_string_append(output, "|---|---|---|\n");
        }
    }
    return g_string_free(output, FALSE);
}

/* Three digits, as more would say what was not measured. */
static char *format_three_digits(double value, const char *unit) {
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return g_strdup_printf("%.*f %s", decimals, value, unit);
}

char *dinv_bench_format_seconds(double seconds) {
    if (seconds < 0.0009995) {
        return format_three_digits(seconds * 1e6, "µs");
    }
    return seconds < 0.9995 ? format_three_digits(seconds * 1e3, "ms")
                            : format_three_digits(seconds, "s");
}

char *dinv_bench_format_rate(guint64 bytes, double seconds) {
    return seconds > 0 ? format_three_digits((double)bytes / seconds / 1e6, "MB/s") : g_strdup("-");
}

char *dinv_bench_format_frequency(guint count, double seconds) {
    return seconds > 0 ? format_three_digits(count / seconds, "/s") : g_strdup("-");
}

static int compare_doubles(const void *left, const void *right) {
    const double *a = left;
    const double *b = right;
    return (*a > *b) - (*a < *b);
}

double dinv_bench_median(double *values, gsize count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return values[(count - 1) / 2];
}

guint dinv_bench_scale(guint units, double seconds, double target, guint most) {
    double wanted = seconds > 0 ? units * (target / seconds) : most;
    return wanted >= most ? MAX(units, most) : MAX(units, (guint)wanted);
}

char *dinv_bench_cpu_model(const char *cpuinfo) {
    static const char key[] = "model name";
    g_auto(GStrv) lines = g_strsplit(cpuinfo, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        const char *colon = strchr(lines[i], ':');
        if (g_str_has_prefix(lines[i], key) && colon != NULL) {
            char *model = g_strstrip(g_strdup(colon + 1));
            if (*model != '\0') {
                return model;
            }
            g_free(model);
        }
    }
    return g_strdup("unknown");
}

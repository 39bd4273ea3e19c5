/* SPDX-License-Identifier: MIT */
/* The table that is printed, and what its figures look like. */
#pragma once

#include <glib.h>

typedef struct DinvBenchTable DinvBenchTable;

DinvBenchTable *dinv_bench_table_new(void);
void dinv_bench_table_free(DinvBenchTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvBenchTable, dinv_bench_table_free)

/* Adds a row. Texts are copied and may be untrusted; `how` may be NULL. */
void dinv_bench_table_add(DinvBenchTable *table, const char *what, const char *figure,
                          const char *how);
/* The whole in Markdown, columns aligned; ends with a newline. Transfer full. */
char *dinv_bench_table_to_markdown(const DinvBenchTable *table);

/* "12.3 s", "12.3 ms", "12.3 µs". Transfer full. */
char *dinv_bench_format_seconds(double seconds);
/* "123 MB/s"; "-" if no time has passed. Transfer full. */
char *dinv_bench_format_rate(guint64 bytes, double seconds);
/* "123 /s"; the same. */
char *dinv_bench_format_frequency(guint count, double seconds);

/* The middle one, of two in the middle the lower. `values` are put in order; at least one. */
double dinv_bench_median(double *values, gsize count);

/* How many units to move for a measurement of `target` seconds when `units` took `seconds`:
 * between `units` and `most`. */
guint dinv_bench_scale(guint units, double seconds, double target, guint most);

/* The CPU's model from the text of /proc/cpuinfo; "unknown" if that names none. Transfer full. */
char *dinv_bench_cpu_model(const char *cpuinfo);

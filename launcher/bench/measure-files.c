/* SPDX-License-Identifier: MIT */
/*
 * Files of a mount and of the data disk, by commands of a shell in the guest. What was written is
 * read after the guest's page cache was dropped; that of the outer container is as it is.
 */
#include "launcher/bench/measure.h"

#define MEBI 1048576u

#define MOUNT_FILE        DINV_BENCH_MOUNT "/file"
#define MOUNT_FIRST_MIB   4u
#define MOUNT_MOST_MIB    256u
#define SMALL_FILES_FIRST 20u
#define SMALL_FILES_MOST  200u

#define DISK_FILE "/var/lib/docker/dinv-bench"
/* Random, as zeros would be holes outside; in memory, and small, as that may be little. */
#define DISK_SOURCE      "/tmp/dinv-bench"
#define DISK_PASS_MIB    8u
#define DISK_MOST_PASSES 64u
#define SYNCS_FIRST      5u
#define SYNCS_MOST       50u

/* The programs of the next command are in memory again when that is measured. */
#define DROP_CACHES                                                                                \
    "echo 3 >/proc/sys/vm/drop_caches && dd if=/dev/zero of=/dev/null bs=1M count=1 status=none "  \
    "&& cat /proc/version >/dev/null"

static gboolean run(DinvBench *bench, double *seconds, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static gboolean run(DinvBench *bench, double *seconds, GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *command = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return dinv_bench_shell_run(&bench->watch, &bench->shell, command, seconds, error);
}

static void add_rate(DinvBench *bench, const char *what, guint mebibytes, double seconds,
                     const char *how) {
    g_autofree char *figure = dinv_bench_format_rate((guint64)mebibytes * MEBI, seconds);
    g_autofree char *text = g_strdup_printf("%u MiB, %s", mebibytes, how);
    dinv_bench_table_add(bench->table, what, figure, text);
}

/* --- A mount --- */

static gboolean write_mount_file(DinvBench *bench, guint mebibytes, double *seconds,
                                 GError **error) {
    return run(bench, seconds, error,
               "dd if=/dev/zero of=" MOUNT_FILE " bs=1M count=%u conv=fsync status=none",
               mebibytes);
}

static gboolean measure_mount_file(DinvBench *bench, GError **error) {
    guint mebibytes = MOUNT_FIRST_MIB;
    double written = 0;
    double read = 0;
    if (!write_mount_file(bench, mebibytes, &written, error)) {
        return FALSE;
    }
    mebibytes = dinv_bench_scale(mebibytes, written, DINV_BENCH_TARGET_S, MOUNT_MOST_MIB);
    if (!write_mount_file(bench, mebibytes, &written, error)) {
        return FALSE;
    }
    add_rate(bench, "mount, file written", mebibytes, written, "with fsync");
    if (!run(bench, NULL, error, DROP_CACHES) ||
        !run(bench, &read, error, "dd if=" MOUNT_FILE " of=/dev/null bs=1M status=none")) {
        return FALSE;
    }
    add_rate(bench, "mount, file read", mebibytes, read, "not cached inside");
    return TRUE;
}

/* By a loop of the shell itself, without a process for each file. */
static gboolean write_small_files(DinvBench *bench, guint count, double *seconds, GError **error) {
    return run(bench, seconds, error,
               "i=0; while [ $i -lt %u ] && echo \"$text\" >" DINV_BENCH_MOUNT
               "/small$i; do i=$((i + 1)); done; [ $i -eq %u ]",
               count, count);
}

static void add_small_files(DinvBench *bench, const char *what, guint count, double seconds,
                            const char *how) {
    g_autofree char *figure = dinv_bench_format_frequency(count, seconds);
    g_autofree char *text = g_strdup_printf("%u of 3 kB, %s", count, how);
    dinv_bench_table_add(bench->table, what, figure, text);
}

static gboolean measure_small_files(DinvBench *bench, GError **error) {
    guint count = SMALL_FILES_FIRST;
    double written = 0;
    double read = 0;
    if (!run(bench, NULL, error, "text=$(printf '%%03000d' 0)") ||
        !write_small_files(bench, count, &written, error) ||
        !run(bench, NULL, error, "rm " DINV_BENCH_MOUNT "/small*")) {
        return FALSE;
    }
    count = dinv_bench_scale(count, written, DINV_BENCH_TARGET_S, SMALL_FILES_MOST);
    if (!write_small_files(bench, count, &written, error)) {
        return FALSE;
    }
    add_small_files(bench, "mount, small files made", count, written, "one after the other");
    if (!run(bench, NULL, error, DROP_CACHES) ||
        !run(bench, &read, error, "cat " DINV_BENCH_MOUNT "/small* >/dev/null")) {
        return FALSE;
    }
    add_small_files(bench, "mount, small files read", count, read, "not cached inside");
    return TRUE;
}

gboolean dinv_bench_measure_mount(DinvBench *bench, GError **error) {
    return measure_mount_file(bench, error) && measure_small_files(bench, error);
}

/* --- The data disk --- */

static gboolean write_disk_file(DinvBench *bench, guint passes, double *seconds, GError **error) {
    return run(bench, seconds, error,
               "i=0; while [ $i -lt %u ] && dd if=" DISK_SOURCE " of=" DISK_FILE
               " bs=1M seek=$((i * %u)) conv=notrunc,fsync status=none; do i=$((i + 1)); done; "
               "[ $i -eq %u ]",
               passes, DISK_PASS_MIB, passes);
}

static gboolean write_and_sync(DinvBench *bench, guint count, double *seconds, GError **error) {
    return run(bench, seconds, error,
               "i=0; while [ $i -lt %u ] && dd if=" DISK_SOURCE " of=" DISK_FILE
               " bs=4k count=1 seek=$i conv=notrunc,fsync status=none; do i=$((i + 1)); done; "
               "[ $i -eq %u ]",
               count, count);
}

gboolean dinv_bench_measure_disk(DinvBench *bench, GError **error) {
    guint passes = 1;
    guint syncs = SYNCS_FIRST;
    double seconds = 0;
    if (!run(bench, NULL, error, "dd if=/dev/urandom of=" DISK_SOURCE " bs=1M count=%u status=none",
             DISK_PASS_MIB) ||
        !write_disk_file(bench, passes, &seconds, error)) {
        return FALSE;
    }
    passes = dinv_bench_scale(passes, seconds, DINV_BENCH_TARGET_S, DISK_MOST_PASSES);
    if (!run(bench, NULL, error, "rm " DISK_FILE) ||
        !write_disk_file(bench, passes, &seconds, error)) {
        return FALSE;
    }
    g_autofree char *each = g_strdup_printf("fsync after each %u MiB", DISK_PASS_MIB);
    add_rate(bench, "data disk, file written", passes * DISK_PASS_MIB, seconds, each);
    if (!write_and_sync(bench, syncs, &seconds, error)) {
        return FALSE;
    }
    syncs = dinv_bench_scale(syncs, seconds, DINV_BENCH_TARGET_S, SYNCS_MOST);
    if (!write_and_sync(bench, syncs, &seconds, error)) {
        return FALSE;
    }
    g_autofree char *figure = dinv_bench_format_seconds(seconds / syncs);
    g_autofree char *how = g_strdup_printf("mean of %u, each by a program of its own", syncs);
    dinv_bench_table_add(bench->table, "data disk, 4 KiB and fsync", figure, how);
    return run(bench, NULL, error, "rm " DISK_FILE " " DISK_SOURCE);
}

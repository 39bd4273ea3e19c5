/* SPDX-License-Identifier: MIT */
/*
 * The whole: a directory, a look whether a start can work, a machine, the measurements, the
 * machine's end, the table. Signals are read from a descriptor from the first file to the last, so
 * that none ends us with something left behind.
 */
#include "launcher/bench/bench.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/bench/directory.h"
#include "launcher/bench/host.h"
#include "launcher/bench/measure.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/doctor.h"
#include "launcher/cli/output.h"
#include "launcher/cli/signals.h"
#include "launcher/plan/acceleration.h"
#include "launcher/preflight/preflight.h"

/* Of the measurements; the stop comes after. */
#define CPU_LIMIT_S      50
#define EMULATED_LIMIT_S 290
/* How long a machine may take to end whose connections are broken. */
#define END_IS_NEAR_MS 2000u

static const struct {
    const char *what;
    gboolean (*measure)(DinvBench *bench, GError **error);
} parts[] = {
    {"docker run --rm, hello", dinv_bench_measure_hello},
    {"stream through docker.sock", dinv_bench_measure_stream},
    {"mount", dinv_bench_measure_mount},
    {"data disk", dinv_bench_measure_disk},
    {"published port", dinv_bench_measure_port},
};

static void set_text(char **field, char *text) {
    g_free(*field);
    *field = text;
}

/* Makes *config that of a machine of its own, in `directory`. What says how fast a machine is, and
 * what the engine is told, stays as the user has it. */
static void use_own_directory(DinvConfig *config, const char *directory) {
    set_text(&config->state_dir, g_build_filename(directory, "state", NULL));
    set_text(&config->socket_path, g_build_filename(directory, "docker.sock", NULL));
    set_text(&config->socket_link, NULL);
    config->socket_uid = (uid_t)-1;
    config->socket_gid = (gid_t)-1;
    config->socket_mode = 0600;
    set_text(&config->volume_path, NULL);
    set_text(&config->tls_directory, NULL);
    config->tls.port = 0;
    config->plaintext.port = 0;
    g_clear_pointer(&config->more_sockets, g_ptr_array_unref);
    g_clear_pointer(&config->more_ports, g_array_unref);
    g_array_set_size(config->ports, 0);
    config->publish = DINV_PUBLISH_DOCKER;
    DinvMountSpec *mount = g_new0(DinvMountSpec, 1);
    mount->source = g_build_filename(directory, "mount", NULL);
    mount->target = g_strdup(DINV_BENCH_MOUNT);
    g_ptr_array_set_size(config->mounts, 0);
    g_ptr_array_add(config->mounts, mount);
    config->mounts_auto = FALSE;
    set_text(&config->dockerd_log, NULL);
    set_text(&config->on_ready, NULL);
    config->log_level = DINV_LOG_WARNING;
    config->log_level_given = TRUE;
}

static gboolean is_of_watch(const GError *error) {
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

/* Adds a row that says why there is no figure. FALSE if there can be none after it, either. */
static gboolean add_failure(DinvBench *bench, const char *what, const GError *error) {
    /* A connection breaks before the process behind it has ended, whose end says more. */
    g_autoptr(GError) better = NULL;
    if (!is_of_watch(error) && !dinv_bench_watch_pause(&bench->watch, END_IS_NEAR_MS, &better)) {
        error = better;
    }
    dinv_bench_table_add(bench->table, what, "not measured", error->message);
    return !is_of_watch(error) || error->code == G_IO_ERROR_TIMED_OUT;
}

static void say(const char *what) {
    (void)fprintf(stderr, "measuring: %s\n", what);
}

static gboolean measure_start(DinvBench *bench, GError **error) {
    gint64 begin_us = g_get_monotonic_time();
    if (!dinv_bench_machine_start(&bench->watch, bench->config, error) ||
        !dinv_bench_machine_wait(&bench->watch, bench->config, error)) {
        return FALSE;
    }
    g_autofree char *figure = dinv_bench_format_seconds(dinv_bench_seconds_since(begin_us));
    dinv_bench_add_machine(bench->table, bench->config);
    dinv_bench_table_add(bench->table, "start", figure,
                         "dinv run to the engine's first answer, with a new disk");
    return TRUE;
}

static gboolean prepare(DinvBench *bench, GError **error) {
    char *shell[] = {(char *)"sh", NULL};
    return dinv_bench_make_image(bench, error) &&
           dinv_bench_shell_start(&bench->watch, bench->config, shell, &bench->shell, error);
}

/* What is measured on a machine that runs. TRUE if all was. */
static gboolean measure_parts(DinvBench *bench) {
    gboolean all = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autoptr(GError) error = NULL;
        say(parts[i].what);
        if (!dinv_bench_watch_check(&bench->watch, &error) || !parts[i].measure(bench, &error)) {
            all = FALSE;
            if (!add_failure(bench, parts[i].what, error)) {
                break;
            }
        }
    }
    return all;
}

static gboolean measure_stop(DinvBench *bench) {
    gint64 begin_us = g_get_monotonic_time();
    say("stop");
    gboolean good = dinv_bench_machine_stop(&bench->watch, bench->config);
    g_autofree char *figure = dinv_bench_format_seconds(dinv_bench_seconds_since(begin_us));
    dinv_bench_table_add(bench->table, "stop", good ? figure : "not in order",
                         "SIGTERM to the end of dinv run");
    return good;
}

/* TRUE if all was measured. */
static gboolean measure_all(DinvBench *bench) {
    g_autoptr(GError) error = NULL;
    say("start");
    gboolean good = measure_start(bench, &error);
    if (!good) {
        (void)add_failure(bench, "start", error);
    } else if (!prepare(bench, &error)) {
        (void)add_failure(bench, "an image for containers", error);
        good = FALSE;
    } else {
        good = measure_parts(bench);
    }
    dinv_bench_shell_end(&bench->shell);
    if (bench->watch.machine > 0 && !bench->watch.machine_has_ended) {
        good = measure_stop(bench) && good;
    }
    return good;
}

/* Whether a real CPU runs the guest. */
static gboolean is_run_by_cpu(const DinvConfig *config, const DinvPlanFindings *findings) {
    return dinv_plan_accel(config, findings) == DINV_PLAN_ACCEL_KVM && !findings->cpu_is_emulated;
}

/* With a directory for it: looks, measures, prints. The exit status. */
static int run_in(DinvBench *bench, const char *directory) {
    DinvPreflight preflight = {0};
    g_autofree char *mount = g_build_filename(directory, "mount", NULL);
    use_own_directory(bench->config, directory);
    if (g_mkdir(mount, 0700) < 0) {
        dinv_cli_complain("cannot make \"%s\": %s", mount, g_strerror(errno));
        return DINV_EXIT_FAILED;
    }
    int status = EXIT_FAILURE;
    if (dinv_preflight(bench->config, FALSE, &preflight, NULL)) {
        gboolean is_fast = is_run_by_cpu(bench->config, &preflight.findings);
        gint64 limit_s = is_fast ? CPU_LIMIT_S : EMULATED_LIMIT_S;
        if (!is_fast) {
            (void)fputs(
                "Without KVM on a real CPU this takes up to five minutes, and its figures are "
                "those of the machine that is taken instead.\n",
                stderr);
        }
        bench->watch.deadline_us = g_get_monotonic_time() + limit_s * 1000000;
        dinv_bench_add_host(bench->table, bench->config, &preflight.findings, directory);
        status = measure_all(bench) ? EXIT_SUCCESS : EXIT_FAILURE;
        g_autofree char *text = dinv_bench_table_to_markdown(bench->table);
        (void)fputs(text, stdout);
    } else {
        dinv_cli_doctor_print(preflight.report, stdout);
        puts("dinv run would not work, so there is nothing to measure.");
    }
    dinv_preflight_clear(&preflight);
    return dinv_cli_flush("table") ? status : DINV_EXIT_FAILED;
}

/* Signals are ours until the end: what is made is removed. */
static gboolean open_signals(DinvBenchWatch *watch) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t set;
    (void)signal(SIGCHLD, SIG_DFL); /* who ignores it is not told of ends */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_SETMASK, NULL, &watch->signals_before);
    dinv_cli_signals_pick(numbers, G_N_ELEMENTS(numbers), &set);
    watch->signal_fd = dinv_cli_signals_open(&set);
    return watch->signal_fd >= 0;
}

int dinv_bench(DinvConfig *config) {
    g_autoptr(DinvBenchTable) table = dinv_bench_table_new();
    g_autoptr(GError) error = NULL;
    DinvBench bench = {.config = config, .table = table};
    if (!open_signals(&bench.watch)) {
        dinv_cli_complain("cannot wait for signals: %s", g_strerror(errno));
        return DINV_EXIT_FAILED;
    }
    g_autofree char *directory = dinv_bench_directory_make(config->state_dir, &error);
    if (directory == NULL) {
        dinv_cli_complain("%s", error->message);
        (void)close(bench.watch.signal_fd);
        return DINV_EXIT_FAILED;
    }
    int status = run_in(&bench, directory);
    if (!dinv_bench_directory_remove(directory, &error)) {
        dinv_cli_complain("%s", error->message);
        status = DINV_EXIT_FAILED;
    }
    (void)close(bench.watch.signal_fd);
    return bench.watch.stopped_by != 0 ? 128 + bench.watch.stopped_by : status;
}

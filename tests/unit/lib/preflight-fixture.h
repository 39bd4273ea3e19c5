/* SPDX-License-Identifier: MIT */
/*
 * A config under which preflight finds all well, in a directory of its own, and the plan that
 * follows from what it found. For the tests of preflight and of `dinv doctor`; included once per
 * test program.
 */
#pragma once

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ext4/create.h"
#include "launcher/plan/plan.h"
#include "launcher/preflight/preflight.h"
#include "launcher/settings/settings.h"
#include "tests/unit/lib/scratch.h"

/* As one that is confined by all there is. */
#define USERNET_READY "printf 'ready 1 no_new_privs,capabilities,seccomp,landlock,core' >&4"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)

typedef struct {
    Scratch scratch;
    DinvConfig *config;
    DinvPreflightHost host;
    DinvPreflight result;
    DinvPlan *plan; /* from the findings of the last run */
    GError *error;
    char *kvm_device;
} Fixture;

/* --- Files --- */

static inline void write_bytes(const char *path, const char *bytes, gsize length) {
    g_autoptr(GError) error = NULL;
    g_file_set_contents(path, bytes, (gssize)length, &error);
    g_assert_no_error(error);
}

/* The least bzImage: its marks in 1 KiB. */
static inline void write_bzimage(const char *path) {
    static const char magic[] = {'H', 'd', 'r', 'S'};
    char bytes[1024] = {0};
    bytes[0x1fe] = 0x55;
    bytes[0x1ff] = (char)0xaa;
    memcpy(bytes + 0x202, magic, sizeof magic);
    write_bytes(path, bytes, sizeof bytes);
}

static inline void write_rootfs(const char *path, const char *label) {
    DinvExt4Options options = {.size_bytes = 8 * MEBI, .label = label, .read_only = TRUE};
    g_autoptr(GError) error = NULL;
    (void)g_unlink(path);
    g_assert_true(dinv_ext4_create(path, &options, &error));
    g_assert_no_error(error);
}

/* A program that runs the shell command `text`, whatever it is asked. */
static inline void write_program(const char *path, const char *text) {
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n%s\n", text);
    write_bytes(path, script, strlen(script));
    g_assert_cmpint(chmod(path, 0755), ==, 0);
}

/* What plays User-Mode Linux, and works. To be freed. */
static inline char *find_fake_kernel(void) {
    return g_test_build_filename(G_TEST_BUILT, "fake-kernel", NULL);
}

static inline void set_text(char **field, char *text) {
    g_free(*field);
    *field = text;
}

/* --- The fixture --- */

static inline gboolean is_no_flag(const char *word) {
    (void)word;
    return FALSE;
}

static inline DinvConfig *load_defaults(void) {
    const char *const environment[] = {NULL};
    const DinvHostLimits limits = {.cpus_online = 2, .memory_total = 4096 * MEBI};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    char *no_words[] = {NULL};
    char **words = no_words;
    int count = 0;
    DinvConfig *config = dinv_settings_load_with_limits(environment, &count, &words, is_no_flag,
                                                        &limits, warnings, NULL);
    g_assert_nonnull(config);
    return config;
}

static inline void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    scratch_write(&fixture->scratch, "proc/meminfo",
                  "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
    DinvConfig *config = load_defaults();
    config->accel = DINV_ACCEL_TCG;
    set_text(&config->state_dir, scratch_path(&fixture->scratch, "state"));
    set_text(&config->config_dir, scratch_path(&fixture->scratch, "docker"));
    set_text(&config->socket_path, scratch_path(&fixture->scratch, "run/docker.sock"));
    set_text(&config->kernel, scratch_path(&fixture->scratch, "kernel"));
    set_text(&config->rootfs, scratch_path(&fixture->scratch, "rootfs.ext4"));
    set_text(&config->qemu, scratch_path(&fixture->scratch, "qemu"));
    write_bzimage(config->kernel);
    write_rootfs(config->rootfs, "dinv-root-1");
    set_text(&config->usernet, scratch_path(&fixture->scratch, "usernet"));
    write_program(config->usernet, USERNET_READY);
    write_program(config->qemu, "echo 'QEMU emulator version 9.1.2 (Debian 1:9.1.2)'");
    fixture->config = config;
    fixture->kvm_device = scratch_path(&fixture->scratch, "kvm");
    fixture->host =
        (DinvPreflightHost){.kvm_device = fixture->kvm_device, .root = fixture->scratch.path};
}

static inline void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_plan_free(fixture->plan);
    dinv_preflight_clear(&fixture->result);
    g_clear_error(&fixture->error);
    dinv_config_free(fixture->config);
    g_free(fixture->kvm_device);
    scratch_remove(&fixture->scratch);
}

static inline gboolean run(Fixture *fixture) {
    g_clear_error(&fixture->error);
    g_clear_pointer(&fixture->plan, dinv_plan_free);
    gboolean good =
        dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &fixture->error);
    g_assert_true(good == (fixture->error == NULL));
    fixture->plan = dinv_plan_new(fixture->config, &fixture->result.findings);
    return good;
}

/* Forgets what the last run found and said, so that a single check can be run. */
static inline void forget(Fixture *fixture) {
    g_clear_pointer(&fixture->plan, dinv_plan_free);
    dinv_preflight_clear(&fixture->result);
    fixture->result.report = dinv_preflight_report_new();
    dinv_plan_findings_init(&fixture->result.findings);
}

/* The first line of that name and status, or NULL. */
static inline const DinvPreflightLine *find_line(const Fixture *fixture, const char *name,
                                                 DinvPreflightStatus status) {
    for (guint i = 0; i < fixture->result.report->lines->len; i++) {
        const DinvPreflightLine *line = fixture->result.report->lines->pdata[i];
        if (strcmp(line->name, name) == 0 && line->status == status) {
            return line;
        }
    }
    return NULL;
}

/* The run fails, by the line `name` that says `text` and has a remedy; and it has changed nothing.
 */
static inline void assert_failed(Fixture *fixture, const char *name, const char *text) {
    g_assert_false(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, name, DINV_PREFLIGHT_FAILED);
    g_assert_nonnull(line);
    g_test_message("%s; %s", line->text, line->remedy);
    g_assert_nonnull(strstr(line->text, text));
    g_assert_error(fixture->error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_FAILED);
    g_assert_true(g_str_has_prefix(fixture->error->message, line->text));
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
}

#define PREFLIGHT_TEST(name, function)                                                             \
    g_test_add("/preflight/" name, Fixture, NULL, set_up, function, tear_down)

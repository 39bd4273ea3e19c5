/* SPDX-License-Identifier: MIT */
/* One run of the loader of settings, with the limits of a machine that has four CPUs and 16 GiB. */
#pragma once

#include <string.h>

#include "launcher/settings/settings.h"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)
#define GIBI (G_GUINT64_CONSTANT(1) << 30)

/* What went in and came out. */
typedef struct {
    GPtrArray *environment;
    GPtrArray *words;
    GPtrArray *warnings;
    char **rest; /* within words */
    int rest_count;
    DinvConfig *config;
    GError *error;
} Load;

static inline void load_free(Load *load) {
    g_ptr_array_unref(load->environment);
    g_ptr_array_unref(load->words);
    g_ptr_array_unref(load->warnings);
    g_clear_pointer(&load->config, dinv_config_free);
    g_clear_error(&load->error);
    g_free(load);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Load, load_free)

/* A flag of some verb, as dinv_cli_verb_has_flag() has them. */
static inline gboolean load_is_foreign(const char *word) {
    return strcmp(word, "--json") == 0 || strcmp(word, "-f") == 0;
}

/* `environment` and `words` are separated by bars. */
static inline Load *load_new(const char *environment, const char *words) {
    static const DinvHostLimits four_cpus = {.cpus_online = 4, .memory_total = 16 * GIBI};
    Load *load = g_new0(Load, 1);
    g_auto(GStrv) variables = g_strsplit(environment, "|", -1);
    g_auto(GStrv) arguments = g_strsplit(words, "|", -1);
    load->environment = g_ptr_array_new_with_free_func(g_free);
    load->words = g_ptr_array_new_with_free_func(g_free);
    load->warnings = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; variables[i] != NULL; i++) {
        g_ptr_array_add(load->environment, g_strdup(variables[i]));
    }
    g_ptr_array_add(load->environment, NULL);
    for (gsize i = 0; arguments[i] != NULL; i++) {
        g_ptr_array_add(load->words, g_strdup(arguments[i]));
    }
    load->rest_count = (int)load->words->len;
    g_ptr_array_add(load->words, NULL);
    load->rest = (char **)load->words->pdata;
    load->config = dinv_settings_load_with_limits((const char *const *)load->environment->pdata,
                                                  &load->rest_count, &load->rest, load_is_foreign,
                                                  &four_cpus, load->warnings, &load->error);
    return load;
}

static inline Load *load_good(const char *environment, const char *words) {
    Load *load = load_new(environment, words);
    g_assert_no_error(load->error);
    g_assert_nonnull(load->config);
    return load;
}

static inline void assert_refused(const char *environment, const char *words,
                                  DinvSettingsError code, const char *message) {
    g_autoptr(Load) load = load_new(environment, words);
    g_assert_null(load->config);
    g_assert_nonnull(load->error);
    g_assert_cmpstr(load->error->message, ==, message);
    g_assert_error(load->error, DINV_SETTINGS_ERROR, (int)code);
    g_assert_true(load->rest == (char **)load->words->pdata);
}

static inline void assert_invalid(const char *variable, const char *message) {
    assert_refused(variable, "", DINV_SETTINGS_ERROR_INVALID, message);
}

static inline void assert_conflict(const char *variable, const char *message) {
    assert_refused(variable, "", DINV_SETTINGS_ERROR_CONFLICT, message);
}

/* SPDX-License-Identifier: MIT */
/* Finds dinv itself behind the names that it goes by in docker:dind's recipes. */
#include "launcher/cli/entry.h"

#include <string.h>

#include "launcher/cli/help.h"
#include "launcher/settings/run-arguments.h"

/* Where docker:dind has its certificates if nobody says otherwise. */
#define DIND_CERTIFICATES "/certs"

static void drop_words(DinvCliEntry *entry, int at, int count) {
    g_ptr_array_remove_range(entry->words, (guint)at, (guint)count);
    entry->count -= count;
}

static const char *word_at(const DinvCliEntry *entry, int at) {
    return at < entry->count ? entry->words->pdata[at] : "";
}

/* Whether a word is the program, by its name or where the image has it. */
static gboolean is_named(const char *word, const char *program) {
    static const char *const directories[] = {"", "/usr/bin/", "/usr/local/bin/", "/bin/"};
    for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
        if (g_str_has_prefix(word, directories[i]) &&
            strcmp(word + strlen(directories[i]), program) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean is_door(const DinvCliEntry *entry, int at) {
    const char *word = word_at(entry, at);
    return is_named(word, "dockerd-entrypoint.sh") || is_named(word, "dockerd") ||
           (is_named(word, "dinv") && strcmp(word_at(entry, at + 1), "run") == 0);
}

/* The words that one option or assignment of `env` at `at` is; 0: it is none that is known. */
static int take_env_word(DinvCliEntry *entry, int at, GPtrArray *unset, GPtrArray *set) {
    static const char long_option[] = "--unset=";
    const char *word = word_at(entry, at);
    const char *equals = strchr(word, '=');
    if (g_str_has_prefix(word, long_option)) {
        g_ptr_array_add(unset, g_strdup(word + strlen(long_option)));
        return 1;
    }
    if (strcmp(word, "-u") == 0 || strcmp(word, "--unset") == 0) {
        g_ptr_array_add(unset, g_strdup(word_at(entry, at + 1)));
        return 2;
    }
    if (g_str_has_prefix(word, "-u")) {
        g_ptr_array_add(unset, g_strdup(word + 2));
        return 1;
    }
    if (word[0] != '-' && equals != NULL && equals != word) {
        g_ptr_array_add(set, (gpointer)word);
        return 1;
    }
    return 0;
}

/* Takes `env` with its options away, if dinv stands behind them: else it is a command like any. */
static gboolean take_env(DinvCliEntry *entry, int at) {
    g_autoptr(GPtrArray) unset = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) set = g_ptr_array_new();
    int behind = at + 1;
    for (int taken = 1; taken > 0 && behind < entry->count; behind += taken) {
        taken = take_env_word(entry, behind, unset, set);
    }
    if (strcmp(word_at(entry, behind), "--") == 0) {
        behind++;
    }
    if (!is_door(entry, behind)) {
        return FALSE;
    }
    g_ptr_array_extend_and_steal(entry->unset, g_steal_pointer(&unset));
    g_ptr_array_extend(entry->set, set, NULL, NULL);
    drop_words(entry, at, behind - at);
    return TRUE;
}

/* Behind docker:dind's start script: flags, or dockerd with its own, or a client's command. */
static void take_start_script(DinvCliEntry *entry, int at) {
    const char *next = word_at(entry, at + 1);
    drop_words(entry, at, 1);
    if (next[0] == '\0' || next[0] == '-') {
        entry->is_dind = TRUE;
    } else if (!is_named(next, "dockerd")) {
        drop_words(entry, 0, at);
        entry->kind = DINV_CLI_ENTRY_CLIENT;
    }
}

/* One step; FALSE when there is nothing more to be taken. */
static gboolean take_step(DinvCliEntry *entry, gboolean (*is_program)(const char *name)) {
    int at = dinv_settings_run_arguments_find_command(entry->count, (char **)entry->words->pdata);
    const char *word = word_at(entry, at);
    if (is_named(word, "dinv") && strcmp(word_at(entry, at + 1), "run") == 0) {
        drop_words(entry, at, 2);
        return TRUE;
    }
    if (is_named(word, "dockerd-entrypoint.sh")) {
        take_start_script(entry, at);
        return entry->kind == DINV_CLI_ENTRY_RUN && !entry->is_dind;
    }
    if (is_named(word, "dockerd")) {
        entry->words->pdata[at] = (gpointer) "dockerd";
        return FALSE;
    }
    if (is_named(word, "env")) {
        return take_env(entry, at);
    }
    if (strcmp(word, "run") == 0 && !is_program(word)) {
        drop_words(entry, at, 1);
        return TRUE;
    }
    if (at == 0 && dinv_cli_verb_find(word) != NULL && !is_program(word)) {
        entry->kind = DINV_CLI_ENTRY_VERB;
    }
    return FALSE;
}

void dinv_cli_entry_read(char *const *words, gboolean (*is_program)(const char *name),
                         DinvCliEntry *entry) {
    *entry = (DinvCliEntry){.words = g_ptr_array_new(),
                            .unset = g_ptr_array_new_with_free_func(g_free),
                            .set = g_ptr_array_new()};
    for (; words[entry->count] != NULL; entry->count++) {
        g_ptr_array_add(entry->words, words[entry->count]);
    }
    g_ptr_array_add(entry->words, NULL);
    while (entry->count > 0 && take_step(entry, is_program)) {
    }
}

void dinv_cli_entry_clear(DinvCliEntry *entry) {
    g_clear_pointer(&entry->words, g_ptr_array_unref);
    g_clear_pointer(&entry->unset, g_ptr_array_unref);
    g_clear_pointer(&entry->set, g_ptr_array_unref);
}

void dinv_cli_entry_apply(const DinvCliEntry *entry) {
    for (guint i = 0; i < entry->unset->len; i++) {
        g_unsetenv(entry->unset->pdata[i]);
    }
    for (guint i = 0; i < entry->set->len; i++) {
        const char *word = entry->set->pdata[i];
        g_autofree char *name = g_strndup(word, strcspn(word, "="));
        (void)g_setenv(name, word + strlen(name) + 1, TRUE);
    }
    if (entry->is_dind && g_getenv("DINV_TLS_CERTDIR") == NULL) {
        (void)g_setenv("DOCKER_TLS_CERTDIR", DIND_CERTIFICATES, FALSE);
    }
}

gboolean dinv_cli_entry_is_program(const char *name) {
    g_autofree char *path = g_find_program_in_path(name);
    return path != NULL;
}

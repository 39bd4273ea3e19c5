/* SPDX-License-Identifier: MIT */
/* The table of the options that dinv keeps, and the forms in which dockerd takes an option. */
#include "launcher/engine/options.h"

#include <string.h>

#define STORES "the engine keeps its data on the disk in DINV_STATE_DIR"
#define RUNS   "dinv starts the engine and needs to know its files"

static const DinvEngineOption kept[] = {
    {"--host", 'H', FALSE, "hosts", NULL},
    {"--group", 'G', FALSE, "group", NULL},
    {"--tls", 0, TRUE, "tls", NULL},
    {"--tlsverify", 0, TRUE, "tlsverify", NULL},
    {"--tlscacert", 0, FALSE, "tlscacert", NULL},
    {"--tlscert", 0, FALSE, "tlscert", NULL},
    {"--tlskey", 0, FALSE, "tlskey", NULL},
    {"--data-root", 'g', FALSE, "data-root", STORES},
    {"--graph", 0, FALSE, "graph", STORES},
    {"--exec-root", 0, FALSE, "exec-root", RUNS},
    {"--pidfile", 'p', FALSE, "pidfile", RUNS},
    {"--containerd", 0, FALSE, "containerd", RUNS},
    {"--config-file", 0, FALSE, NULL, "daemon.json is read from DINV_CONFIG_DIR"},
    {"--userland-proxy-path", 0, FALSE, "userland-proxy-path",
     "dinv's own proxy makes published ports reachable from outside"},
    {0},
};

const DinvEngineOption *dinv_engine_options_kept(void) {
    return kept;
}

/* How many words of `words` the option takes, 0 if it is not there. *value is what stands behind
 * the "=" or in the next word, NULL if nothing. */
static guint match_option(const DinvEngineOption *option, char *const *words, const char **value) {
    gsize length = strlen(option->flag);
    const char *word = words[0];
    gboolean is_short = option->letter != 0 && word[0] == '-' && word[1] == option->letter;
    gboolean is_long = strncmp(word, option->flag, length) == 0;
    *value = NULL;
    if (is_short && word[2] != '\0') { /* -Hx or -H=x */
        *value = word[2] == '=' ? word + 3 : word + 2;
        return 1;
    }
    if (is_long && word[length] == '=') {
        *value = word + length + 1;
        return 1;
    }
    if (!is_short && (!is_long || word[length] != '\0')) {
        return 0;
    }
    *value = option->is_switch ? NULL : words[1];
    return option->is_switch || words[1] == NULL ? 1 : 2;
}

/* The one of `options` at the front of `words`, or NULL. */
static const DinvEngineOption *find_option(const DinvEngineOption *options, char *const *words,
                                           guint *count, const char **value) {
    for (const DinvEngineOption *option = options; option->flag != NULL; option++) {
        *count = match_option(option, words, value);
        if (*count > 0) {
            return option;
        }
    }
    return NULL;
}

char **dinv_engine_options_filter(char *const *arguments, const DinvEngineOption *options,
                                  GPtrArray *warnings) {
    GPtrArray *left = g_ptr_array_new();
    while (*arguments != NULL) {
        guint count = 0;
        const char *value = NULL;
        const DinvEngineOption *option = find_option(options, arguments, &count, &value);
        if (option == NULL) {
            g_ptr_array_add(left, g_strdup(*arguments));
        } else if (option->reason != NULL) {
            g_ptr_array_add(warnings, g_strdup_printf("%s%s%s is not passed on to dockerd: %s",
                                                      option->flag, value != NULL ? "=" : "",
                                                      value != NULL ? value : "", option->reason));
        }
        arguments += MAX(count, 1);
    }
    g_ptr_array_add(left, NULL);
    return (char **)g_ptr_array_free(left, FALSE);
}

GPtrArray *dinv_engine_options_list_kept(char *const *arguments, const char *flag) {
    GPtrArray *values = g_ptr_array_new();
    while (*arguments != NULL) {
        const char *value = NULL;
        guint count = 0;
        const DinvEngineOption *option = find_option(kept, arguments, &count, &value);
        if (option != NULL && strcmp(option->flag, flag) == 0) {
            g_ptr_array_add(values, (gpointer)(value != NULL ? value : ""));
        }
        arguments += MAX(count, 1);
    }
    return values;
}

GPtrArray *dinv_engine_options_list(char *const *arguments, const char *flag) {
    const DinvEngineOption option = {.flag = flag};
    GPtrArray *values = g_ptr_array_new();
    while (*arguments != NULL) {
        const char *value = NULL;
        guint count = match_option(&option, arguments, &value);
        if (count > 0) {
            g_ptr_array_add(values, (gpointer)(value != NULL ? value : ""));
        }
        arguments += MAX(count, 1);
    }
    return values;
}

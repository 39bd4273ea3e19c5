/* SPDX-License-Identifier: MIT */
/* Splits the words behind `dinv run` by the flags that the table knows. */
#include "launcher/settings/run-arguments.h"

#include <string.h>

#include "launcher/settings/names.h"

/* The words of dinv's own flag at words[0]; 0: it is none. */
static int count_own(char **words, int count) {
    g_autofree char *name = g_strndup(words[0], strcspn(words[0], "="));
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 ||
        dinv_setting_flag_is_misspelt(name)) {
        return count; /* an error, or the help: the rest does not matter */
    }
    if (!dinv_setting_flag_exists(name)) {
        return 0;
    }
    return strchr(words[0], '=') != NULL || count < 2 ? 1 : 2;
}

void dinv_settings_run_arguments_split(int argc, char **argv, DinvSettingsRunArguments *arguments) {
    int at = 0;
    int own = -1;
    *arguments = (DinvSettingsRunArguments){.own = argc};
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0' && own != 0) {
        if (strcmp(argv[at], "--") == 0) {
            return;
        }
        own = count_own(argv + at, argc - at);
        at += own;
    }
    if (at == argc || (own != 0 && strcmp(argv[at], "dockerd") != 0)) {
        return;
    }
    arguments->own = at;
    arguments->dockerd = argv + at + (own != 0 ? 1 : 0);
    arguments->command = arguments->dockerd;
    while (*arguments->command != NULL && strcmp(*arguments->command, "--") != 0) {
        arguments->command++;
    }
    arguments->dockerd_count = (int)(arguments->command - arguments->dockerd);
    if (*arguments->command != NULL) {
        arguments->command++;
    }
}

int dinv_settings_run_arguments_find_command(int argc, char **argv) {
    int at = 0;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        int own = strcmp(argv[at], "--") == 0 ? 0 : count_own(argv + at, argc - at);
        at = own > 0 ? at + own : argc;
    }
    return MIN(at, argc);
}

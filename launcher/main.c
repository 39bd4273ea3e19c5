/* SPDX-License-Identifier: MIT */
/* The program `dinv`: finds the verb, reads the settings for it, and hands over to launcher/cli. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/bench/bench.h"
#include "launcher/cli/cli.h"
#include "launcher/cli/doctor.h"
#include "launcher/cli/entry.h"
#include "launcher/cli/help.h"
#include "launcher/cli/init.h"
#include "launcher/cli/output.h"
#include "launcher/engine/serving.h"
#include "launcher/settings/run-arguments.h"
#include "launcher/settings/settings.h"
#include "launcher/state/choice.h"

static int print(char *text) {
    g_autofree char *owned = text;
    return fputs(owned, stdout) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : DINV_EXIT_FAILED;
}

static gboolean is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static void say_warnings(const GPtrArray *warnings) {
    for (guint i = 0; i < warnings->len; i++) {
        dinv_cli_complain("warning: %s", (const char *)g_ptr_array_index(warnings, i));
    }
}

/* From the environment and the flags at the front of *argv. */
static DinvConfig *load_settings(const char *verb, int *argc, char ***argv, GError **error) {
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) environment = g_get_environ();
    DinvConfig *config = dinv_settings_load((const char *const *)environment, argc, argv,
                                            dinv_cli_verb_has_flag, warnings, error);
    if (config != NULL) {
        dinv_state_choose(config, "");
    }
    if (config != NULL && (strcmp(verb, "run") == 0 || strcmp(verb, "doctor") == 0)) {
        say_warnings(warnings);
    }
    return config;
}

/* Adds the words for dockerd, and takes over what all its options say of where the engine
 * answers. */
static gboolean take_dockerd_arguments(DinvConfig *config, char *const *words, int count,
                                       GError **error) {
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) environment = g_get_environ();
    gboolean good = dinv_settings_add_dockerd_arguments(config, words, count, error) &&
                    dinv_engine_serving_settle(config, environment, warnings, error);
    say_warnings(warnings);
    return good;
}

/* The docker CLI's side, with the engine of another container: this process becomes it. */
static int run_client(char **words) {
    static const char program[] = "docker-entrypoint.sh";
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, (gpointer)program);
    for (; *words != NULL; words++) {
        g_ptr_array_add(argv, *words);
    }
    g_ptr_array_add(argv, NULL);
    (void)execvp(program, (char **)argv->pdata);
    dinv_cli_complain("cannot run \"%s\": %s", program, g_strerror(errno));
    return errno == ENOENT ? DINV_EXIT_NOT_FOUND : DINV_EXIT_NOT_EXECUTABLE;
}

static int run_verb(const char *verb, int argc, char **argv);
static int run_any(const char *verb, int argc, char **argv);

/* The words behind `run` as people write them behind the image's name. */
static int enter(char **argv) {
    g_auto(DinvCliEntry) entry = {0};
    dinv_cli_entry_read(argv, dinv_cli_entry_is_program, &entry);
    dinv_cli_entry_apply(&entry);
    char **words = (char **)entry.words->pdata;
    switch (entry.kind) {
    case DINV_CLI_ENTRY_CLIENT:
        return run_client(words);
    case DINV_CLI_ENTRY_VERB:
        return run_any(words[0], entry.count - 1, words + 1);
    case DINV_CLI_ENTRY_RUN:
        break;
    }
    return run_verb("run", entry.count, words);
}

/* The verb `run`; argc and argv are behind it. */
static int run(int argc, char **argv) {
    g_autoptr(GError) error = NULL;
    DinvSettingsRunArguments arguments;
    dinv_settings_run_arguments_split(argc, argv, &arguments);
    g_autoptr(DinvConfig) config = load_settings("run", &arguments.own, &argv, &error);
    if (config == NULL ||
        !take_dockerd_arguments(config, arguments.dockerd, arguments.dockerd_count, &error)) {
        dinv_cli_complain("%s", error->message);
        return DINV_EXIT_FAILED;
    }
    return dinv_cli_run(config, arguments.command != NULL ? arguments.command : argv);
}

/* Takes `--bench` if it is the first word. */
static gboolean take_bench(int *argc, char ***argv) {
    gboolean is_there = *argc > 0 && strcmp((*argv)[0], "--bench") == 0;
    *argc -= is_there;
    *argv += is_there;
    return is_there;
}

/* The verb `doctor`; argc and argv are behind it. Its option may stand on either side of the
 * settings. */
static int doctor(int argc, char **argv) {
    g_autoptr(GError) error = NULL;
    gboolean is_bench = take_bench(&argc, &argv);
    g_autoptr(DinvConfig) config = load_settings("doctor", &argc, &argv, &error);
    if (config == NULL || !take_dockerd_arguments(config, NULL, 0, &error)) {
        dinv_cli_complain("%s", error->message);
        return DINV_EXIT_FAILED;
    }
    is_bench = take_bench(&argc, &argv) || is_bench;
    if (argc > 0) {
        dinv_cli_complain("doctor: \"%s\" is not known; the only option is --bench", argv[0]);
        return DINV_EXIT_FAILED;
    }
    return is_bench ? dinv_bench(config) : dinv_cli_doctor(config);
}

/* The other verbs that have settings; argc and argv are behind the verb. */
static int run_verb(const char *verb, int argc, char **argv) {
    if (strcmp(verb, "run") == 0) {
        return run(argc, argv);
    }
    if (strcmp(verb, "doctor") == 0) {
        return doctor(argc, argv);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvConfig) config = load_settings(verb, &argc, &argv, &error);
    if (config == NULL) {
        dinv_cli_complain("%s", error->message);
        return DINV_EXIT_FAILED;
    }
    if (strcmp(verb, "status") == 0) {
        return dinv_cli_status(config, argc, argv);
    }
    if (strcmp(verb, "ports") == 0) {
        return dinv_cli_ports(config, argc, argv);
    }
    if (strcmp(verb, "health") == 0) {
        return dinv_cli_health(config);
    }
    if (strcmp(verb, "logs") == 0) {
        return dinv_cli_logs(config, argc, argv);
    }
    return dinv_cli_shell(config, argc, argv);
}

/* Any verb that there is; argc and argv are behind it. */
static int run_any(const char *verb, int argc, char **argv) {
    if (argc > 0 && is_help(argv[0])) {
        return print(dinv_cli_help_verb_text(dinv_cli_verb_find(verb)));
    }
    if (strcmp(verb, "version") == 0) {
        return print(g_strdup("dinv " DINV_VERSION "\n"));
    }
    if (strcmp(verb, "image") == 0) {
        return dinv_cli_image(argc, argv);
    }
    return strcmp(verb, "run") == 0 ? enter(argv) : run_verb(verb, argc, argv);
}

int main(int argc, char **argv) {
    dinv_cli_init_descriptors();
    dinv_cli_init_split();
    if (argc < 2 || is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        int status = print(dinv_cli_help_text());
        return argc < 2 ? DINV_EXIT_FAILED : status;
    }
    const char *verb = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    if (dinv_cli_verb_find(verb) == NULL) {
        dinv_cli_complain("\"%s\" is not a command; \"dinv --help\" lists them", verb);
        return DINV_EXIT_FAILED;
    }
    return run_any(verb, argc - 2, argv + 2);
}

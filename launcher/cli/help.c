/* SPDX-License-Identifier: MIT */
/* The tables of verbs, exit statuses and files, and what `--help` makes of them. */
#include "launcher/cli/help.h"

#include <string.h>

#include "launcher/settings/names.h"

#define HELP_WIDTH 80u

static const DinvCliVerb verbs[] = {
    {
        .name = "run",
        .synopsis = "[[--] CMD [ARG...]]",
        .help = "start the microVM and serve the Docker engine's socket",
        .more = "Without CMD it serves until it is stopped by SIGTERM or SIGINT; the engine then "
                "stops its containers in order. With CMD it runs that command here, outside the "
                "microVM, with DOCKER_HOST set, as soon as the engine answers, then stops and "
                "exits with the command's status; dinv itself then says nothing but warnings and "
                "errors. A flag that is not one of dinv's is dockerd's, with all words behind it "
                "up to a \"--\", and so are the words behind \"dockerd\": dinv run --debug "
                "--registry-mirror=https://mirror.example -- docker build .",
    },
    {
        .name = "status",
        .synopsis = "[--json]",
        .flag = "--json",
        .help = "what the running dinv is doing, its machine and its engine",
    },
    {
        .name = "ports",
        .synopsis = "[--json]",
        .flag = "--json",
        .help = "the forwarded ports, and why each is forwarded",
        .more = "With --json, also each forward with its connections and bytes.",
    },
    {
        .name = "health",
        .synopsis = "",
        .help = "exit status 0 if the engine answers, 1 if not; for HEALTHCHECK",
    },
    {
        .name = "logs",
        .synopsis = "[-f] [console|dockerd]",
        .flag = "-f",
        .help = "the guest's console (kept on disk) or dockerd's log",
        .more = "With -f, go on with what is added.",
    },
    {
        .name = "shell",
        .synopsis = "[CMD [ARG...]]",
        .help = "a shell in the microVM, or a command there",
        .more = "It gets a terminal of its own when standard input is one. The exit status is the "
                "command's.",
    },
    {
        .name = "doctor",
        .synopsis = "",
        .help = "check all that a start needs, each point with its remedy",
        .more = "It changes nothing. Exit status 0 if run would work, 1 if not.",
    },
    {
        .name = "image",
        .synopsis = "build|info|data [ARG...]",
        .help = "make or describe file system images",
        .more = "Needs no root, mount or loop device; "
                "dinv image without more lists its own arguments.",
    },
    {
        .name = "version",
        .synopsis = "",
        .help = "the version of dinv",
    },
    {.name = NULL},
};

static const DinvCliHelpEntry exit_statuses[] = {
    {"0", "stopped as asked; or, for a verb that asks, the answer is good"},
    {"125", "dinv itself failed; the last line on standard error says why"},
    {"126", "CMD was found but cannot be run"},
    {"127", "CMD was not found"},
    {"128+N", "CMD was ended by signal N"},
    {"other", "that of CMD"},
    {NULL, NULL},
};

static const DinvCliHelpEntry files[] = {
    {"/var/lib/dinv", "the state directory, best a volume: data.img is the disk of the engine, "
                      "console.log what the guest's kernel said, lock shows who uses it"},
    {"/var/run/docker.sock", "the socket of the engine"},
    {"/usr/lib/dinv", "the guest's kernel (vmlinux) and root file system (rootfs.ext4)"},
    {"/dev/kvm", "hardware virtualization: docker run --device /dev/kvm"},
    {NULL, NULL},
};

const DinvCliVerb *dinv_cli_verbs_table(void) {
    return verbs;
}

const DinvCliHelpEntry *dinv_cli_exit_statuses_table(void) {
    return exit_statuses;
}

const DinvCliHelpEntry *dinv_cli_files_table(void) {
    return files;
}

const DinvCliVerb *dinv_cli_verb_find(const char *name) {
    for (const DinvCliVerb *verb = verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

gboolean dinv_cli_verb_has_flag(const char *word) {
    for (const DinvCliVerb *verb = verbs; verb->name != NULL; verb++) {
        if (g_strcmp0(verb->flag, word) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Appends `text` broken into lines that begin with `indent` spaces. */
static void append_wrapped(GString *output, guint indent, const char *text) {
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    gsize column = 0;
    for (gsize i = 0; words[i] != NULL; i++) {
        gsize length = strlen(words[i]);
        if (column > 0 && column + 1 + length > HELP_WIDTH) {
            g_string_append_c(output, '\n');
            column = 0;
        }
        if (column == 0) {
            g_string_append_printf(output, "%*s", (int)indent, "");
            column = indent;
        } else {
            g_string_append_c(output, ' ');
            column++;
        }
        g_string_append(output, words[i]);
        column += length;
    }
    g_string_append_c(output, '\n');
}

static void append_verb_line(GString *output, const DinvCliVerb *verb) {
    g_string_append_printf(output, "  dinv %s%s%s\n", verb->name,
                           *verb->synopsis == '\0' ? "" : " ", verb->synopsis);
}

static void append_settings(GString *output) {
    g_string_append(
        output, "\nSettings, as environment variables or as flags behind the verb (flags win):\n");
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);
        g_autofree char *argument = dinv_setting_argument(setting);
        g_autofree char *names = g_strdup_printf("%s %s", flag, argument);
        g_autofree char *help =
            g_strdup_printf("%s (default: %s)", setting->help, dinv_setting_default(setting));
        g_string_append_printf(output, "  %-42s %s\n", names, setting->name);
        append_wrapped(output, 6, help);
    }
}

char *dinv_cli_help_text(void) {
    g_autoptr(GString) output = g_string_new(
        "dinv: a Docker engine in a microVM, in an unprivileged container\n\nUsage:\n");
    for (const DinvCliVerb *verb = verbs; verb->name != NULL; verb++) {
        append_verb_line(output, verb);
        append_wrapped(output, 6, verb->help);
    }
    append_settings(output);
    g_string_append(output, "\nExit status:\n");
    for (const DinvCliHelpEntry *entry = exit_statuses; entry->name != NULL; entry++) {
        g_string_append_printf(output, "  %-6s %s\n", entry->name, entry->meaning);
    }
    return g_string_free(g_steal_pointer(&output), FALSE);
}

char *dinv_cli_help_verb_text(const DinvCliVerb *verb) {
    g_autoptr(GString) output = g_string_new("Usage:\n");
    append_verb_line(output, verb);
    append_wrapped(output, 6, verb->help);
    if (verb->more != NULL) {
        g_string_append_c(output, '\n');
        append_wrapped(output, 2, verb->more);
    }
    g_string_append(output, "\ndinv --help lists the settings.\n");
    return g_string_free(g_steal_pointer(&output), FALSE);
}

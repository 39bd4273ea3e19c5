/* SPDX-License-Identifier: MIT */
/*
 * The words behind the image's name as docker:dind's users write them. They stand behind `dinv
 * run`, and some of them mean that or another verb: `run`, `dinv run`, `dockerd`,
 * `dockerd-entrypoint.sh`, each also behind `env -u NAME`, and `doctor` and the other verbs.
 */
#pragma once

#include <glib.h>

typedef enum {
    DINV_CLI_ENTRY_RUN,    /* the words that are left are those of `run` */
    DINV_CLI_ENTRY_VERB,   /* the first word that is left is another verb of dinv's */
    DINV_CLI_ENTRY_CLIENT, /* what is left is for docker-entrypoint.sh: no engine is wanted */
} DinvCliEntryKind;

typedef struct {
    DinvCliEntryKind kind;
    GPtrArray *words; /* of char*, borrowed; NULL-terminated, which `len` counts not */
    int count;
    GPtrArray *unset; /* of char*, transfer full: variables that `env` takes away */
    GPtrArray *set;   /* of char*, borrowed: NAME=VALUE that it sets */
    gboolean is_dind; /* docker:dind's own start script was meant, with its default for TLS */
} DinvCliEntry;

/* Reads `words` (NULL-terminated, borrowed for as long as the entry lives). `is_program` says
 * whether there is a program of that name, which goes before a verb of the same name. */
void dinv_cli_entry_read(char *const *words, gboolean (*is_program)(const char *name),
                         DinvCliEntry *entry);
void dinv_cli_entry_clear(DinvCliEntry *entry);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DinvCliEntry, dinv_cli_entry_clear)

/* Makes the environment of this process what the entry asks for. */
void dinv_cli_entry_apply(const DinvCliEntry *entry);

/* Whether there is a program of that name in PATH. */
gboolean dinv_cli_entry_is_program(const char *name);

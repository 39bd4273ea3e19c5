/* SPDX-License-Identifier: MIT */
/*
 * What dinv says about itself, all made from the tables of verbs (help.c) and settings
 * (launcher/settings/table.c): `--help`, the man page docs/dinv.1 and the table of settings in
 * README.md (help-documents.c). docgen.c writes the two committed files, and the test
 * docs-generated checks them.
 */
#pragma once

#include <glib.h>

typedef struct {
    const char *name;
    const char *synopsis; /* what may follow the name, "" if nothing */
    const char *flag;     /* a flag of its own ("--json"), or NULL */
    const char *help;     /* one line, without a full stop */
    const char *more;     /* sentences for the man page and the verb's own help, or NULL */
} DinvCliVerb;

/* A name or number, and what it means. */
typedef struct {
    const char *name;
    const char *meaning;
} DinvCliHelpEntry;

/* The tables end with name NULL. */
const DinvCliVerb *dinv_cli_verbs_table(void);
const DinvCliHelpEntry *dinv_cli_exit_statuses_table(void);
const DinvCliHelpEntry *dinv_cli_files_table(void);

/* NULL if there is no such verb. */
const DinvCliVerb *dinv_cli_verb_find(const char *name);

/* Whether `word` is a flag of some verb, not a setting. */
gboolean dinv_cli_verb_has_flag(const char *word);

/* The lines around the tables of the README. */
#define DINV_README_BEGIN "<!-- settings: begin -->\n"
#define DINV_README_END   "<!-- settings: end -->\n"

/* The texts end with a newline. Transfer full. */
char *dinv_cli_help_text(void);                         /* dinv --help */
char *dinv_cli_help_verb_text(const DinvCliVerb *verb); /* dinv VERB --help */
char *dinv_cli_help_man_page(void);                     /* docs/dinv.1, roff */
char *dinv_cli_help_readme_table(void); /* what stands between the two lines, markdown */

/* SPDX-License-Identifier: MIT */
/*
 * The words behind `dinv run`: dinv's own flags, then dockerd's arguments, then the command. As in
 * docker:dind a flag that is none of dinv's is dockerd's, with all that follows, and the word
 * "dockerd" may stand before them; "--" ends dockerd's arguments.
 *
 *   run [FLAG…] [COMMAND…]
 *   run [FLAG…] -- COMMAND…
 *   run [FLAG…] [dockerd] --DOCKERD-FLAG… [-- COMMAND…]
 */
#pragma once

#include <glib.h>

/* All pointers go into argv. */
typedef struct {
    int own;        /* words at the front for dinv_settings_load(); all if none are dockerd's */
    char **dockerd; /* `dockerd_count` words */
    int dockerd_count;
    char **command; /* behind dockerd's words, NULL-terminated; NULL: among the `own` words, where
                     * dinv_settings_load() finds it */
} DinvSettingsRunArguments;

/* Splits `argv`, NULL-terminated, which is borrowed and not changed; cannot fail. A flag that looks
 * like a misspelt one of dinv's is left to dinv_settings_load(), which says so. */
void dinv_settings_run_arguments_split(int argc, char **argv, DinvSettingsRunArguments *arguments);

/* Where the command would be, or "dockerd": the index of the first word that is neither a flag of
 * dinv's nor its value; argc if there is none. What stands behind a "--" or a flag of another is no
 * command here, and argc as well. */
int dinv_settings_run_arguments_find_command(int argc, char **argv);

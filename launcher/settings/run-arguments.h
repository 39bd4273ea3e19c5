/* SPDX-License-Identifier: MIT */
/*
 * The words behind `dinv run`: dinv's own flags, then dockerd's arguments, then the command. As in
 * docker:dind a flag that is none of dinv's is dockerd's, with all that follows, and the word
 * "dockerd" may stand before them; "--" ends dockerd's arguments.
 *
 *   run [FLAG…] [COMMAND…]    run [FLAG…] -- COMMAND…    run [FLAG…] [dockerd] --DOCKERD-FLAG… [--
 * COMMAND…]
 */
#pragma once

#include <glib.h>

typedef struct {
    int own; /* words at the front for dinv_settings_load(); if there are none of dockerd's, all */
    char **dockerd; /* within argv, `dockerd_count` words */
    int dockerd_count;
    char *
        *command; /* behind dockerd's words, NULL-terminated; NULL: dinv_settings_load() finds it */
} DinvSettingsRunArguments;

/* A pure function of the words, which are borrowed. A flag that looks like a misspelt one of dinv's
 * is left to dinv_settings_load(), which says so. */
void dinv_settings_run_arguments_split(int argc, char **argv, DinvSettingsRunArguments *arguments);

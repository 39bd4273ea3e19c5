/* SPDX-License-Identifier: MIT */
/*
 * dockerd's options that dinv keeps to itself: as flags in the arguments for dockerd and as keys of
 * daemon.json. dockerd would refuse to start when an option is both a flag and in the file, and
 * most of these name places of the outer container that mean nothing in the guest. Those that say
 * where the engine answers, dinv carries out itself (serving.h).
 */
#pragma once

#include <glib.h>

typedef struct {
    const char *flag;   /* "--host" */
    char letter;        /* of the short flag, or 0 */
    gboolean is_switch; /* it has a value only behind "=" */
    const char *key;    /* in daemon.json, or NULL if it cannot stand there */
    const char *reason; /* why, and what to use instead; NULL: dinv does what it asks for */
} DinvEngineOption;

/* Ended by one whose flag is NULL. */
const DinvEngineOption *dinv_engine_options_kept(void);

/* The arguments for dockerd without those of `options` (transfer full); a sentence (char *) for
 * each that dinv does not carry out is appended to `warnings`. */
char **dinv_engine_options_filter(char *const *arguments, const DinvEngineOption *options,
                                  GPtrArray *warnings);

/* The values (char *, borrowed) that the arguments give one of the options kept, which `flag`
 * names, in any form that dockerd takes; "" where none follows. Transfer container. */
GPtrArray *dinv_engine_options_list_kept(char *const *arguments, const char *flag);

/* The values (char *, borrowed) that the arguments give the option, as --NAME VALUE or
 * --NAME=VALUE; "" where none follows. Transfer container. */
GPtrArray *dinv_engine_options_list(char *const *arguments, const char *flag);

/* SPDX-License-Identifier: MIT */
/*
 * The room confine: what a process gives up for good before it looks at anything that is not to be
 * trusted. Which system calls and files are left is the caller's table; nothing here knows who it
 * is.
 *
 * All of it may be called between fork and exec of a process with threads: system calls and the
 * stack, nothing else. No GLib.
 *
 * Each part is tried, none is needed: an old kernel, or an outer container that forbids one of
 * them, lacks that part, and DinvConfinement says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "confine/filter.h"

/* What is in force. */
typedef struct {
    bool no_new_privs;
    bool capabilities; /* none left but those of the plan */
    bool core;         /* RLIMIT_CORE 0 */
    bool landlock;     /* no path but those of the plan */
    bool scope;        /* no signal and no abstract socket out of it: Landlock from version 6 on */
    bool seccomp;      /* no system call but those of the plan */
} DinvConfinement;

/* What may be opened although no path can be. */
typedef struct {
    int fd; /* of the file, or of a directory for what is below it */
    bool read, write, execute;
} DinvConfineFile;

/* All of it is borrowed. */
typedef struct {
    uint64_t capabilities; /* bits by number: what to keep, if there */
    const DinvConfineFile *files;
    size_t file_count;
    const DinvConfineTable *const *tables; /* of the filter: the calls of all of them are left */
    size_t table_count;
} DinvConfinePlan;

/* Confines the calling thread, which has to be the only one of its process. What the tables call
 * the parent is getppid() now. */
DinvConfinement dinv_confine(const DinvConfinePlan *plan);

/* Enough for dinv_confinement_format(). */
#define DINV_CONFINEMENT_TEXT_MAX 96

/* What is in force, as words with commas: "no_new_privs,capabilities,seccomp,landlock,scope,core";
 * or "none". Cut at size. */
void dinv_confinement_format(const DinvConfinement *confinement, char *out, size_t size);

/* landlock.c: true if all paths but those of `files` are refused from now on; *scope: whether
 * signals and abstract sockets are, too. With no_new_privs only. */
bool dinv_confine_landlock(const DinvConfineFile *files, size_t count, bool *scope);

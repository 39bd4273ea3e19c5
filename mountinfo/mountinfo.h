/* SPDX-License-Identifier: MIT */
/*
 * The room mountinfo: /proc/self/mountinfo (proc_pid_mountinfo(5)) taken apart, for the launcher
 * and the guest alike, so libc alone: I/O and GLib may not enter. Paths in it are chosen by
 * strangers: the text is untrusted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int id;
    int parent;
    char *root;   /* what of its file system is the top here; unescaped, like the next three */
    char *target; /* "mount point" */
    char *type;
    char *source;
    bool readonly;       /* this mount of it */
    bool super_readonly; /* the file system itself */
    bool inert;          /* nosuid, nodev and noexec: files are data here, and nothing else */
} DinvMount;

typedef struct {
    DinvMount *mounts;
    size_t count;
} DinvMountTable;

/* Lines that are not of the format are skipped. 0 or -ENOMEM. The table is in the order of the
 * text; clear it afterwards. */
int dinv_mountinfo_parse(const char *text, size_t len, DinvMountTable *table);
void dinv_mountinfo_clear(DinvMountTable *table);

/* The mount on top at `target`, NULL if it is not a mount point. */
const DinvMount *dinv_mountinfo_find(const DinvMountTable *table, const char *target);

/* Undoes \ooo (so blank, tab, newline and backslash are written), in place. \000 is left alone. */
void dinv_mountinfo_unescape(char *text);

/* SPDX-License-Identifier: MIT */
/*
 * mountinfo: /proc/self/mountinfo (proc_pid_mountinfo(5)) taken apart, and the order in which
 * mounts come down. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int id;
    int parent;
    char *target; /* unescaped, like type and source */
    char *type;
    char *source;
    bool super_readonly; /* the file system itself, not only this mount of it */
} DinvMount;

typedef struct {
    DinvMount *mounts;
    size_t count;
} DinvMountTable;

/* Lines that are not of the format are skipped. 0 or -ENOMEM. The table is in the order of the
 * text; clear it afterwards. */
int dinv_mountinfo_parse(const char *text, size_t len, DinvMountTable *table);
void dinv_mountinfo_clear(DinvMountTable *table);

/* Reads and parses the mounts of this process. 0 or -errno. */
int dinv_mountinfo_load(DinvMountTable *table);

/* Sorts into the order of unmounting: a mount before the one it is mounted upon, else the younger
 * before the older. */
void dinv_mountinfo_sort_for_unmount(DinvMountTable *table);

/* Whether it goes at the end of the machine: all but the root and what is mounted at or below
 * /proc, /sys and /dev, and at /run. */
bool dinv_mount_is_to_unmount(const DinvMount *mount);

/* Whether it holds data that must have been written back when the machine goes: a writable file
 * system on a block device or on a share of the launcher. */
bool dinv_mount_holds_data(const DinvMount *mount);

/* The mount on top at `target`, NULL if it is not a mount point. */
const DinvMount *dinv_mountinfo_find(const DinvMountTable *table, const char *target);

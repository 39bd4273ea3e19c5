/* SPDX-License-Identifier: MIT */
/*
 * mountinfo: the mounts of this machine, and the order in which they come down.
 */
#pragma once

#include "mountinfo/mountinfo.h"

/* Reads and parses the mounts of this process. 0 with *table, to be cleared, or -errno. */
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

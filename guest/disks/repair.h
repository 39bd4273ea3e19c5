/* SPDX-License-Identifier: MIT */
/*
 * disk-repair: e2fsck for a disk before it is mounted. It runs here and not in the launcher: what
 * is on a data disk was written by the guest, and whoever takes it apart should not be outside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the ext4 on `device` was not unmounted in order, or has errors noted in it. A device that
 * cannot be read, or holds no ext4, counts as good: the mount says what is wrong. */
bool dinv_disk_needs_repair(const char *device);

/* Runs `e2fsck -p` (with -f if `thorough`), which replays the journal and repairs what can be
 * without losing anything. Blocks until it has ended. What it says goes into the log, and the line
 * that says most into `said`. 0 when the disk is good now; -EUCLEAN when it is beyond that; -EIO
 * when e2fsck failed for another reason; -ENOENT when there is no e2fsck. */
int dinv_disk_repair(const char *device, bool thorough, char *said, size_t size);

/* The program's exit status to one of the above; for tests. */
int dinv_disk_judge_e2fsck(int wait_status);

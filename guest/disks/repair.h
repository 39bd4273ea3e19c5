/* SPDX-License-Identifier: MIT */
/*
 * repair: e2fsck for a disk before it is mounted. It runs here and not in the launcher: what is on
 * a data disk was written by the guest, and whoever takes it apart should not be outside.
 */
#pragma once

#include <stdbool.h>

#include "guest/base/loop.h"

/* Whether the ext4 on `device` was not unmounted in order, or has errors noted in it. A device that
 * cannot be read, or holds no ext4, counts as good: the mount says what is wrong. */
bool dinv_disk_needs_repair(const char *device);

typedef struct {
    const char *program; /* "e2fsck", or what a test has in its place */
    const char *device;
    bool thorough; /* check all of it, even if it looks good from outside */
} DinvDiskRepairPlan;

/* The end of a repair. `result` is 0 when the disk is good now, -EUCLEAN when it cannot be repaired
 * without losing something, and -EIO when e2fsck failed for another reason or was ended. `said` is
 * the line of its output that says most, borrowed for the call. */
typedef void (*DinvDiskRepairEnded)(void *user, int result, const char *said);

/* Starts `e2fsck -p` (with -f if `thorough`), which replays the journal and repairs what can be
 * without losing anything; it may take minutes. `ended` comes once, from the loop, when it has
 * ended and what it said was logged. `plan` is only read now. SIGTERM ends it in order, though not
 * at once. 0; -ENOENT when there is no e2fsck; or -errno: then `ended` does not come. */
int dinv_disk_repair(DinvLoop *loop, const DinvDiskRepairPlan *plan, DinvDiskRepairEnded ended,
                     void *user);

/* What e2fsck's end, as from wait(2), means: a result as above. */
int dinv_disk_judge_e2fsck(int wait_status);

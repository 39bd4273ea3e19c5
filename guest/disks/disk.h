/* SPDX-License-Identifier: MIT */
/*
 * The room guest/disks: the data disks of the machine, from their block device to a mounted file
 * system. What is mounted besides them (shares, the kernel's file systems) is not here, and nothing
 * here speaks to the launcher: who is to hear of a check hands in callbacks.
 *
 * disk: ext4 on a block device of the machine, found by serial number.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest/base/loop.h"
#include "guest/configuration/configuration.h"

/* What is said of a check by e2fsck, which may take long. */
typedef struct {
    void (*checking)(void *user, const DinvDiskConfiguration *disk);
    /* Whether to go on; false: the disk is left unmounted, with -ECANCELED. */
    bool (*checked)(void *user, const DinvDiskConfiguration *disk);
    /* It cannot be repaired without losing something; what e2fsck said of it. */
    void (*damaged)(void *user, const DinvDiskConfiguration *disk, const char *said);
    /* The result of a dinv_disk_mount() that was in progress. */
    void (*mounted)(void *user, int result);
} DinvDiskCallbacks;

/* Mounts the disk at its target unless it is there already, grows the file system when the device
 * is larger, and gives its top directory the owner that is asked for. Before it is mounted, a file
 * system that was not unmounted in order, has errors noted in it, or cannot be mounted is checked.
 * Without a check it blocks for as long as the kernel needs, and no callback comes. 0; -EINPROGRESS
 * when a check runs: `mounted` comes once, from the loop, and `disk` and `callbacks` must stay till
 * then; -ENODEV when no disk has the serial; -EUCLEAN when it is damaged; or -errno of the mount. A
 * failed growth is logged and ignored: the data is there. */
int dinv_disk_mount(DinvLoop *loop, const DinvDiskConfiguration *disk,
                    const DinvDiskCallbacks *callbacks, void *user);

/* Of a file system, in bytes. */
typedef struct {
    uint64_t total;
    uint64_t used;
    uint64_t available; /* less than the rest: some is kept for root */
} DinvDiskUsage;

/* 0 or -errno, when *usage is as it was. */
int dinv_disk_usage(const char *target, DinvDiskUsage *usage);

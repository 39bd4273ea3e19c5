/* SPDX-License-Identifier: MIT */
/*
 * disk: the data disks, ext4 on virtio-blk, found by serial number. All of it may block.
 */
#pragma once

#include <stdint.h>

#include "guest/configuration/configuration.h"

/* Who wants to know of a check by e2fsck: it may take long. */
typedef struct {
    void (*checking)(void *user, const DinvDiskConfiguration *disk);
    void (*checked)(void *user, const DinvDiskConfiguration *disk);
    /* It cannot be repaired without losing something; what e2fsck said of it. */
    void (*damaged)(void *user, const DinvDiskConfiguration *disk, const char *said);
    void *user;
} DinvDiskObserver;

/* Mounts the disk at its target unless it is there already, grows the file system when the device
 * is larger, and gives its top directory the owner that is asked for. Before it is mounted, a file
 * system that was not unmounted in order, has errors noted in it, or cannot be mounted is checked.
 * 0; -ENODEV when no disk has the serial; -EUCLEAN when it is damaged; or -errno of the mount. A
 * failed growth is logged and ignored: the data is there. */
int dinv_disk_mount(const DinvDiskConfiguration *disk, const DinvDiskObserver *observer);

/* Of a file system, in bytes. */
typedef struct {
    uint64_t total;
    uint64_t used;
    uint64_t available; /* less than the rest: some is kept for root */
} DinvDiskUsage;

/* 0 or -errno, when *usage is as it was. */
int dinv_disk_usage(const char *target, DinvDiskUsage *usage);

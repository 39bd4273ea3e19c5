/* SPDX-License-Identifier: MIT */
/*
 * disk: the data disks, ext4 on virtio-blk, found by serial number. All of it may block.
 */
#pragma once

#include <stdint.h>

#include "guest/configuration.h"

/* Mounts the disk at its target unless it is there already, and grows the file system when the
 * device is larger. 0; -ENODEV when no disk has the serial; or -errno of the mount. A failed growth
 * is logged and ignored: the data is there. */
int dinv_disk_mount(const DinvDiskConfiguration *disk);

/* Sizes of the file system at `target` in bytes. 0 or -errno. */
int dinv_disk_usage(const char *target, uint64_t *total, uint64_t *available);

/* Gives unused blocks back to the launcher's file. 0 with the bytes, or -errno. */
int dinv_disk_trim(const char *target, uint64_t *bytes);

/* SPDX-License-Identifier: MIT */
/*
 * devices: the block devices that had a writable file system when the unmounting began. At its end
 * they are looked at: an unmounted file system may live on in a mount namespace that we do not see.
 */
#pragma once

#include "mountinfo/mountinfo.h"

enum { DINV_MOUNTS_DEVICES_MAX = 16 };

typedef struct {
    char names[DINV_MOUNTS_DEVICES_MAX][64]; /* "/dev/…", each once */
    size_t count;
} DinvMountsDevices;

/* Adds those of `table` that it does not have yet, as far as there is room. */
void dinv_mounts_devices_add(DinvMountsDevices *devices, const DinvMountTable *table);

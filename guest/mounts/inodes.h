/* SPDX-License-Identifier: MIT */
/*
 * inodes: keeps few inodes in the kernel's caches. virtiofsd holds a descriptor of its own for each
 * inode of its mount that the guest has not forgotten, and the guest forgets none as long as it has
 * memory; with the last descriptor every open() there would fail.
 */
#pragma once

#include "guest/base/loop.h"

typedef struct DinvMountsInodes DinvMountsInodes;

typedef struct {
    const char *count_path; /* NULL: the kernel's files */
    const char *drop_path;
    uint64_t interval_ms; /* 0: a second */
} DinvMountsInodesOptions;

/* NULL if out of memory. */
DinvMountsInodes *dinv_mounts_inodes_new(DinvLoop *loop, const DinvMountsInodesOptions *options);
void dinv_mounts_inodes_free(DinvMountsInodes *inodes);

/* From now on the caches are dropped when there are more inodes than `max`, of whatever file
 * system. Where so many are in use, when half as many have come since the last time. 0: never. */
void dinv_mounts_inodes_set_max(DinvMountsInodes *inodes, uint64_t max);

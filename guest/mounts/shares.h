/* SPDX-License-Identifier: MIT */
/*
 * shares: what the launcher shows of the outer container, over 9p or virtio-fs.
 */
#pragma once

#include <stddef.h>

#include "guest/configuration/configuration.h"

typedef struct DinvMountsShares DinvMountsShares;

typedef struct {
    /* mount(2), or a fake of it. NULL: the former, and the directory below /run. */
    int (*mount)(const char *source, const char *target, const char *type, unsigned long flags,
                 const void *data);
    const char *files_directory; /* where shares of single files are mounted; borrowed */
} DinvMountsSharesOptions;

/* NULL if out of memory. */
DinvMountsShares *dinv_mounts_shares_new(const DinvMountsSharesOptions *options);
void dinv_mounts_shares_free(DinvMountsShares *shares);

/* Mounts shares, and single files of a share, in this order, unless they are already there. What is
 * missing of a target is made. When there are new ones that had to be mounted with their fallback
 * options, the log says so once for all of them. It blocks for as long as the server takes. 0, or
 * -errno of the mount number *failed, those before it being mounted. */
int dinv_mounts_shares_mount(DinvMountsShares *shares, const DinvMountConfiguration *mounts,
                             size_t count, size_t *failed);

/* How many of the mounts of the last call have their fallback options. */
size_t dinv_mounts_shares_count_fallbacks(const DinvMountsShares *shares);

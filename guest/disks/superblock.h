/* SPDX-License-Identifier: MIT */
/*
 * superblock: the few fields of an ext4 superblock that the guest looks at
 * (Documentation/filesystems/ext4/super.rst).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t blocks;
    uint64_t block_size;
    bool was_unmounted; /* in order */
    bool has_errors;    /* noted by a kernel */
    bool needs_replay;  /* of the journal */
} DinvDiskSuperblock;

/* Reads it from a device or an image, whose bytes are whatever the guest left there. 0; -EIO when
 * it cannot be read, -EINVAL when it is none; then *super is as it was. */
int dinv_disk_superblock_read(int fd, DinvDiskSuperblock *super);

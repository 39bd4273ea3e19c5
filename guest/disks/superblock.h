/* SPDX-License-Identifier: MIT */
/*
 * ext4-super: the few fields of an ext4 superblock that the guest looks at
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

/* 0; -EIO when it cannot be read, -EINVAL when it is none. */
int dinv_disk_superblock_read(int fd, DinvDiskSuperblock *super);

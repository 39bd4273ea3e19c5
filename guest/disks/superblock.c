/* SPDX-License-Identifier: MIT */
/* Takes the superblock's fields out of its bytes, at the offsets of the documentation. */
#include "guest/disks/superblock.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    SUPER_OFFSET = 1024,
    SUPER_SIZE = 1024,
    SUPER_BLOCKS_LOW = 0x4,
    SUPER_LOG_BLOCK_SIZE = 0x18,
    SUPER_MAGIC = 0x38, /* the state is in the same word */
    SUPER_INCOMPATIBLE = 0x60,
    SUPER_BLOCKS_HIGH = 0x150,
    EXT4_MAGIC = 0xef53,
    STATE_UNMOUNTED = 0x1,
    STATE_ERRORS = 0x2,
    INCOMPATIBLE_RECOVER = 0x4,
    INCOMPATIBLE_64BIT = 0x80,
};

static uint32_t little32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

int dinv_disk_superblock_read(int fd, DinvDiskSuperblock *super) {
    uint8_t bytes[SUPER_SIZE];
    if (pread(fd, bytes, sizeof bytes, SUPER_OFFSET) != (ssize_t)sizeof bytes) {
        return -EIO;
    }
    uint32_t log_size = little32(bytes + SUPER_LOG_BLOCK_SIZE);
    uint32_t magic_and_state = little32(bytes + SUPER_MAGIC);
    if ((magic_and_state & 0xffffu) != EXT4_MAGIC || log_size > 6) {
        return -EINVAL;
    }
    uint32_t incompatible = little32(bytes + SUPER_INCOMPATIBLE);
    uint32_t state = magic_and_state >> 16;
    *super = (DinvDiskSuperblock){
        .blocks = little32(bytes + SUPER_BLOCKS_LOW),
        .block_size = UINT64_C(1024) << log_size,
        .was_unmounted = (state & STATE_UNMOUNTED) != 0,
        .has_errors = (state & STATE_ERRORS) != 0,
        .needs_replay = (incompatible & INCOMPATIBLE_RECOVER) != 0,
    };
    if ((incompatible & INCOMPATIBLE_64BIT) != 0) {
        super->blocks |= (uint64_t)little32(bytes + SUPER_BLOCKS_HIGH) << 32;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * unmount: the file systems of the machine, at its end. All of it blocks for as long as the kernel
 * needs, and is for process 1 of a machine of its own only.
 */
#pragma once

#include <stdbool.h>

/* Unmounts everything that dinv_mount_is_to_unmount(), makes read-only what is still in use, and
 * flushes. True if nothing that holds data is left writable. May be called again. */
bool dinv_mounts_unmount_all(void);

/* Instead of it when a virtio-fs mount's server is gone: makes the disks read-only, all written,
 * whoever still uses them. True when that is done; else it is to be called again. */
bool dinv_mounts_make_disks_readonly(void);

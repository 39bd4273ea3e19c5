/* SPDX-License-Identifier: MIT */
/*
 * mounts: the file systems of the machine, up and down. All of it blocks for as long as the kernel
 * needs, and is for process 1 of a machine of its own only.
 */
#pragma once

#include <stdbool.h>

/* Puts a writable overlay (in memory) over the read-only root, then mounts the kernel's own file
 * systems and /run and /tmp, and enables every cgroup controller below the root. Goes on as far as
 * it can after an error; 0 or the first -errno that keeps dockerd from running, with *what (static
 * text) naming it. Safe on a machine where an initramfs has mounted some of it. */
int dinv_mounts_prepare(const char **what);

/* Unmounts everything that dinv_mount_is_to_unmount(), makes read-only what is still in use, and
 * flushes. True if nothing that holds data is left writable. May be called again. */
bool dinv_mounts_unmount_all(void);

/* Instead of it when a virtio-fs mount's server is gone: makes the disks read-only, all written,
 * whoever still uses them. True when that is done; else it is to be called again. */
bool dinv_mounts_make_disks_readonly(void);

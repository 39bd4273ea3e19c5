/* SPDX-License-Identifier: MIT */
/*
 * The room guest/mounts: all file systems of the machine but those of the data disks, from the
 * overlay over the root to the shares of the launcher; the end of all mounts; and the inodes in the
 * kernel's caches, which virtiofsd pays for. It does not know who asks for a mount: the agent
 * answers the launcher.
 *
 * mounts: what is mounted before anything else. It blocks for as long as the kernel needs, and is
 * for process 1 of a machine of its own only.
 */
#pragma once

/* Puts a writable overlay (in memory) over the read-only root, then mounts the kernel's own file
 * systems and /run and /tmp, and enables every cgroup controller below the root. Goes on as far as
 * it can after an error; 0 or the first -errno that keeps dockerd from running, with *what (static
 * text) naming it. Safe on a machine where an initramfs has mounted some of it. */
int dinv_mounts_prepare(const char **what);

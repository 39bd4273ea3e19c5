/* SPDX-License-Identifier: MIT */
/*
 * DINV_MOUNTS=auto: which of the outer container's mounts somebody gave it. Pure: looks at the
 * table only. Whether each can be shown, and may, launcher/plan/mounts.h says.
 */
#pragma once

#include "launcher/mounts/spec.h"
#include "mountinfo/mountinfo.h"

/* Bind mounts and volumes, each at its own path, read-only if its mount is, sorted by target (what
 * lies in another comes after it): DinvMountSpec*, transfer container. Left out are file systems of
 * the kernel, all at or below /proc, /sys and /dev, the files that Docker puts into every
 * container, and what lies in `state_dir`. */
GPtrArray *dinv_mount_auto_list(const DinvMountTable *table, const char *state_dir);

/* Whether it is a whole file system in memory: that of `docker run --tmpfs`, a volume of type
 * tmpfs, a Secret of Kubernetes. */
gboolean dinv_mount_is_memory(const DinvMount *mount);

/* Whether it is such a one as `docker run --tmpfs` makes it: empty at the start, and nobody
 * else's. */
gboolean dinv_mount_is_scratch(const DinvMount *mount);

/* Whether it shows the kernel, not files: proc, sysfs, cgroup and the like. */
gboolean dinv_mount_is_of_kernel(const DinvMount *mount);

/* Whether the guest sees what is mounted at mount->target already, by the export of one of `mounts`
 * that shows its own path: a 9p server walks into what is mounted below. */
gboolean dinv_mount_is_seen_through(const DinvMountSpec *mount, const GPtrArray *mounts);

/* SPDX-License-Identifier: MIT */
/*
 * The room launcher/host: what this machine and this container are and offer, that is CPU, KVM,
 * memory, networks and capabilities. It looks and measures and knows nothing of settings, of the
 * guest's devices or of QEMU's options: nothing that decides or changes something may enter, but
 * for the defaults that follow from a limit.
 *
 * limits: what the container may use, CPUs, memory and processes, from cgroup v1 and v2, the
 * affinity mask and /proc/meminfo; and the defaults that follow for the guest.
 */
#pragma once

#include <glib.h>

typedef struct {
    guint cpus_online;        /* that this process may run on; at least 1 */
    guint cpus_quota;         /* the cgroup's CPU quota rounded up; 0: none */
    guint64 memory_total;     /* of the machine, bytes; 0: unknown */
    guint64 memory_available; /* bytes the kernel says are free for new programs; 0: unknown */
    guint64 memory_limit;     /* of the cgroup or a parent of it, bytes; 0: none */
    guint64 pids_limit;       /* of processes and threads in the cgroup or a parent; 0: none */
} DinvHostLimits;

#define DINV_MEMORY_MINIMUM (G_GUINT64_CONSTANT(256) << 20)
#define DINV_CPUS_MAXIMUM   64u /* CONFIG_NR_CPUS of our kernel */

/* Reads <root>/proc and what its mountinfo names below <root>; `root` is "" but in tests. Cannot
 * fail: what is not there or makes no sense counts as unlimited. */
void dinv_host_limits_read(const char *root, DinvHostLimits *limits);

/* How many processes of our cgroup, or below it, the kernel has killed for want of memory. */
typedef struct {
    gboolean is_known;
    guint64 count;
} DinvHostOomKills;

/* Counts them now. */
void dinv_host_limits_count_oom_kills(const char *root, DinvHostOomKills *kills);

/* Whose SIGKILL it was that ended the machine, the kernel's for want of memory or somebody else's,
 * and what to do: for a person, to be freed. `before` was counted when the machine was started,
 * `guest_bytes` is the guest's memory. */
char *dinv_host_limits_explain_kill(const char *root, const DinvHostOomKills *before,
                                    guint64 guest_bytes);

/* The CPUs online, or the quota where it is less. */
guint dinv_host_limits_default_cpus(const DinvHostLimits *limits);

/* With a cgroup limit: that, less what QEMU needs for itself (dinv_host_limits_headroom()).
 * Without: half of the machine's memory, between 512 MiB and 8 GiB. In both cases at most 7/8 of
 * the machine's. A multiple of 1 MiB, never below DINV_MEMORY_MINIMUM. */
guint64 dinv_host_limits_default_memory(const DinvHostLimits *limits);

/* What is left to QEMU and the launcher of a cgroup's `limit`: an eighth, at least 256 MiB. */
guint64 dinv_host_limits_headroom(guint64 limit);

/* The size, in bytes, of the buffer for translated code (TCG) with which QEMU and a guest of
 * `guest_bytes` keep within the cgroup's limit; 0, QEMU's own choice, if there is none. */
guint64 dinv_host_limits_tcg_buffer(const DinvHostLimits *limits, guint64 guest_bytes);

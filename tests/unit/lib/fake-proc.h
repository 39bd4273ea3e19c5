/* SPDX-License-Identifier: MIT */
/* Processes of a directory that looks like the parts of /proc which guest/ports reads. */
#pragma once

#include <unistd.h>

#include "tests/unit/lib/scratch.h"

/* A process with a name, in a cgroup, with one open socket (and a descriptor that is none). */
static inline void fake_proc_add(const Scratch *proc, guint pid, const char *comm,
                                 const char *cgroup, guint64 inode) {
    g_autofree char *comm_name = g_strdup_printf("%u/comm", pid);
    g_autofree char *comm_line = g_strdup_printf("%s\n", comm);
    scratch_write(proc, comm_name, comm_line);
    g_autofree char *cgroup_name = g_strdup_printf("%u/cgroup", pid);
    g_autofree char *cgroup_line = g_strdup_printf("1:name=systemd:/x\n0::%s\n", cgroup);
    scratch_write(proc, cgroup_name, cgroup_line);
    g_autofree char *directory = g_strdup_printf("%s/%u/fd", proc->path, pid);
    g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
    g_autofree char *link = g_strdup_printf("%s/3", directory);
    g_autofree char *target = g_strdup_printf("socket:[%" G_GUINT64_FORMAT "]", inode);
    g_assert_cmpint(symlink(target, link), ==, 0);
    g_autofree char *other = g_strdup_printf("%s/4", directory);
    g_assert_cmpint(symlink("/dev/null", other), ==, 0);
}

/* SPDX-License-Identifier: MIT */
/* What is told apart: the kernel's own, what the container runtime puts there, and the user's. */
#include "launcher/mounts/auto.h"

#include <string.h>

static gboolean is_one_of(const char *text, const char *const *list) {
    return g_strv_contains(list, text);
}

gboolean dinv_mount_is_of_kernel(const DinvMount *mount) {
    static const char *const types[] = {
        "autofs",    "binfmt_misc", "bpf",      "cgroup",   "cgroup2", "configfs",
        "debugfs",   "devpts",      "devtmpfs", "efivarfs", "fusectl", "hugetlbfs",
        "mqueue",    "nsfs",        "proc",     "pstore",   "sysfs",   "rpc_pipefs",
        "selinuxfs", "securityfs",  "tracefs",  NULL};

    return is_one_of(mount->type, types);
}

/* What Docker, Podman and Kubernetes put into a container by themselves. */
static gboolean is_of_the_runtime(const DinvMount *mount) {
    static const char *const files[] = {"/etc/hostname",
                                        "/etc/hosts",
                                        "/etc/resolv.conf",
                                        "/run/.containerenv",
                                        "/sbin/docker-init",
                                        "/usr/sbin/docker-init",
                                        NULL};
    static const char *const directories[] = {"/proc", "/sys", "/dev"};
    for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
        if (dinv_path_is_within(mount->target, directories[i])) {
            return TRUE;
        }
    }
    return strcmp(mount->target, "/") == 0 || is_one_of(mount->target, files);
}

gboolean dinv_mount_is_memory(const DinvMount *mount) {
    return (strcmp(mount->type, "tmpfs") == 0 || strcmp(mount->type, "ramfs") == 0) &&
           strcmp(mount->root, "/") == 0;
}

/* Docker's options for it; a volume has those of the host's mount, and a Secret is read-only. */
gboolean dinv_mount_is_scratch(const DinvMount *mount) {
    return dinv_mount_is_memory(mount) && mount->inert && !mount->readonly;
}

static gint auto_compare_targets(gconstpointer a, gconstpointer b) {
    const DinvMountSpec *const *left = a;
    const DinvMountSpec *const *right = b;
    return strcmp((*left)->target, (*right)->target);
}

GPtrArray *dinv_mount_auto_list(const DinvMountTable *table, const char *state_dir) {
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    for (gsize i = 0; i < table->count; i++) {
        const DinvMount *mount = &table->mounts[i];
        if (mount->target[0] != '/' || dinv_mountinfo_find(table, mount->target) != mount ||
            dinv_mount_is_of_kernel(mount) || is_of_the_runtime(mount) ||
            dinv_path_is_within(mount->target, state_dir)) {
            continue;
        }
        DinvMountSpec *spec = g_new0(DinvMountSpec, 1);
        spec->source = g_strdup(mount->target);
        spec->target = g_strdup(mount->target);
        spec->readonly = mount->readonly || mount->super_readonly;
        g_ptr_array_add(list, spec);
    }
    g_ptr_array_sort(list, auto_compare_targets);
    return list;
}

gboolean dinv_mount_is_seen_through(const DinvMountSpec *mount, const GPtrArray *mounts) {
    for (guint i = 0; i < mounts->len; i++) {
        const DinvMountSpec *other = mounts->pdata[i];
        if (!other->is_file && strcmp(other->source, other->target) == 0 &&
            dinv_path_is_within(mount->source, other->source) &&
            (mount->readonly || !other->readonly)) {
            return TRUE;
        }
    }
    return FALSE;
}

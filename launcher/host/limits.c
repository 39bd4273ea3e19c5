/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. /proc/self/cgroup names this process's cgroup in every hierarchy,
 * /proc/self/mountinfo tells where a hierarchy is mounted and which of its cgroups is seen there as
 * the top ("root"). The directory is mount point + (cgroup path less root). With a cgroup namespace
 * both are relative to the namespace; without one (cgroup v1's default) the container sees its own
 * cgroup bind-mounted and a path from the host's top. Where the path does not begin with the root,
 * only the mount point itself is looked at. A limit counts wherever it stands between the process's
 * cgroup and the top that can be seen, so the walk goes up and the smallest one holds.
 */
#include "launcher/host/limits.h"

#include <sched.h>
#include <string.h>

#define MEBI (G_GUINT64_CONSTANT(1) << 20)
#define GIBI (G_GUINT64_CONSTANT(1) << 30)

/* cgroup v1 says "no limit" with a number near 2^63, rounded to pages. */
#define V1_UNLIMITED (G_GUINT64_CONSTANT(1) << 60)

static char *read_file(const char *root, const char *path) {
    g_autofree char *full = g_strconcat(root, path, NULL);
    char *text = NULL;
    return g_file_get_contents(full, &text, NULL, NULL) ? text : NULL;
}

/* Whether the comma-separated `list` has `word`. */
static gboolean list_has(const char *list, const char *word) {
    g_auto(GStrv) words = g_strsplit(list, ",", -1);
    return g_strv_contains((const char *const *)words, word);
}

/* The path in /proc/self/cgroup of the v1 hierarchy with `controller`, or of v2 for NULL. */
static char *find_cgroup_path(const char *text, const char *controller) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], ":", 3);
        if (g_strv_length(fields) != 3) {
            continue;
        }
        if (controller == NULL ? fields[1][0] == '\0' && strcmp(fields[0], "0") == 0
                               : list_has(fields[1], controller)) {
            return g_strdup(fields[2]);
        }
    }
    return NULL;
}

/* The mount of the hierarchy: where, and which cgroup is its top. proc(5), mountinfo: "ID PARENT
 * MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [OPTIONAL…] - TYPE SOURCE SUPEROPTIONS". */
static gboolean find_cgroup_mount(const char *text, const char *controller, char **mount_point,
                                  char **top) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        const char *separator = strstr(lines[i], " - ");
        g_auto(GStrv) before = g_strsplit(lines[i], " ", 6);
        g_auto(GStrv) after = g_strsplit(separator == NULL ? "" : separator + 3, " ", 3);
        if (g_strv_length(before) < 6 || g_strv_length(after) != 3) {
            continue;
        }
        if (controller == NULL
                ? strcmp(after[0], "cgroup2") != 0
                : strcmp(after[0], "cgroup") != 0 || !list_has(after[2], controller)) {
            continue;
        }
        *top = g_strcompress(before[3]); /* spaces are \040 there */
        *mount_point = g_strcompress(before[4]);
        return TRUE;
    }
    return FALSE;
}

/* The directories to look into, the process's cgroup first, up to the mount point. */
static GPtrArray *list_cgroup_directories(const char *root, const char *controller) {
    GPtrArray *directories = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *cgroups = read_file(root, "/proc/self/cgroup");
    g_autofree char *mounts = read_file(root, "/proc/self/mountinfo");
    g_autofree char *path = cgroups == NULL ? NULL : find_cgroup_path(cgroups, controller);
    g_autofree char *mount_point = NULL;
    g_autofree char *top = NULL;
    const char *below = "";
    if (path == NULL || mounts == NULL ||
        !find_cgroup_mount(mounts, controller, &mount_point, &top)) {
        return directories;
    }
    if (strcmp(top, "/") == 0) {
        below = path;
    } else if (g_str_has_prefix(path, top) && strchr("/", path[strlen(top)]) != NULL) {
        below = path + strlen(top);
    }
    if (strstr(below, "..") != NULL) { /* a cgroup outside our namespace */
        below = "";
    }

    g_autofree char *walk = g_strdup(below);
    while (strlen(walk) > 1) {
        char *slash = strrchr(walk, '/');
        g_ptr_array_add(directories, g_strconcat(root, mount_point, walk, NULL));
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
    g_ptr_array_add(directories, g_strconcat(root, mount_point, NULL));
    return directories;
}

/* The text of `name` in `directory` without the newline; NULL if it cannot be read. */
static char *read_cgroup_file(const char *directory, const char *name) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

/* The smallest limit in the files of that name of a hierarchy, 0 if none. */
static guint64 smallest_limit(const char *root, const char *controller, const char *file) {
    g_autoptr(GPtrArray) directories = list_cgroup_directories(root, controller);
    guint64 smallest = 0;
    for (guint i = 0; i < directories->len; i++) {
        g_autofree char *text = read_cgroup_file(directories->pdata[i], file);
        guint64 limit;
        if (text == NULL ||
            !g_ascii_string_to_unsigned(text, 10, 1, V1_UNLIMITED - 1, &limit, NULL)) {
            continue; /* also "max" */
        }
        if (smallest == 0 || limit < smallest) {
            smallest = limit;
        }
    }
    return smallest;
}

/* quota / period of one cgroup rounded up, 0 if it has none. */
static guint read_cpu_quota(const char *directory, gboolean unified) {
    g_autofree char *quota_text = NULL;
    g_autofree char *period_text = NULL;
    if (unified) {
        g_autofree char *both = read_cgroup_file(directory, "cpu.max");
        g_auto(GStrv) words = g_strsplit(both == NULL ? "" : both, " ", 2);
        if (g_strv_length(words) != 2) {
            return 0;
        }
        quota_text = g_strdup(words[0]);
        period_text = g_strdup(words[1]);
    } else {
        quota_text = read_cgroup_file(directory, "cpu.cfs_quota_us");
        period_text = read_cgroup_file(directory, "cpu.cfs_period_us");
    }
    guint64 quota;
    guint64 period;
    if (quota_text == NULL || period_text == NULL ||
        !g_ascii_string_to_unsigned(quota_text, 10, 1, G_MAXUINT32, &quota, NULL) ||
        !g_ascii_string_to_unsigned(period_text, 10, 1, G_MAXUINT32, &period, NULL)) {
        return 0; /* also "max" and -1 */
    }
    return (guint)((quota + period - 1) / period);
}

static guint smallest_cpu_quota(const char *root, const char *controller) {
    g_autoptr(GPtrArray) directories = list_cgroup_directories(root, controller);
    guint smallest = 0;
    for (guint i = 0; i < directories->len; i++) {
        guint quota = read_cpu_quota(directories->pdata[i], controller == NULL);
        if (quota != 0 && (smallest == 0 || quota < smallest)) {
            smallest = quota;
        }
    }
    return smallest;
}

/* The value of a line "Name:   123 kB" of meminfo in bytes, 0 if it is not there. */
static guint64 read_meminfo(const char *text, const char *name) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        if (g_str_has_prefix(lines[i], name) && lines[i][strlen(name)] == ':') {
            guint64 kibibytes = g_ascii_strtoull(lines[i] + strlen(name) + 1, NULL, 10);
            return kibibytes > G_MAXUINT64 / 1024 ? 0 : kibibytes * 1024;
        }
    }
    return 0;
}

static guint count_cpus(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    /* EINVAL above 1024 CPUs: then the count does not matter to us, the maximum is 64. */
    return count > 0 ? (guint)count : g_get_num_processors();
}

/* The smaller of two limits where 0 means none. */
static guint64 tighter(guint64 a, guint64 b) {
    if (a == 0 || b == 0) {
        return MAX(a, b);
    }
    return MIN(a, b);
}

void dinv_host_limits_read(const char *root, DinvHostLimits *limits) {
    g_autofree char *meminfo = read_file(root, "/proc/meminfo");
    *limits = (DinvHostLimits){.cpus_online = count_cpus()};
    if (meminfo != NULL) {
        limits->memory_total = read_meminfo(meminfo, "MemTotal");
        limits->memory_available = read_meminfo(meminfo, "MemAvailable");
    }
    limits->cpus_quota =
        (guint)tighter(smallest_cpu_quota(root, NULL), smallest_cpu_quota(root, "cpu"));
    limits->memory_limit = tighter(smallest_limit(root, NULL, "memory.max"),
                                   smallest_limit(root, "memory", "memory.limit_in_bytes"));
    limits->pids_limit =
        tighter(smallest_limit(root, NULL, "pids.max"), smallest_limit(root, "pids", "pids.max"));
    /* A limit above what the machine has limits nothing. */
    if (limits->memory_total != 0 && limits->memory_limit >= limits->memory_total) {
        limits->memory_limit = 0;
    }
}

/* The value of a line "NAME 123" of `text`. */
static gboolean read_counter(const char *text, const char *name, guint64 *value) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        if (g_str_has_prefix(lines[i], name) && lines[i][strlen(name)] == ' ') {
            return g_ascii_string_to_unsigned(lines[i] + strlen(name) + 1, 10, 0, G_MAXUINT64,
                                              value, NULL);
        }
    }
    return FALSE;
}

/* In our own cgroup, the first directory: what is above has the kills of others in it. */
static gboolean read_own_oom_kills(const char *root, const char *controller, const char *file,
                                   guint64 *kills) {
    g_autoptr(GPtrArray) directories = list_cgroup_directories(root, controller);
    g_autofree char *text =
        directories->len > 0 ? read_cgroup_file(directories->pdata[0], file) : NULL;
    return text != NULL && read_counter(text, "oom_kill", kills);
}

void dinv_host_limits_count_oom_kills(const char *root, DinvHostOomKills *kills) {
    kills->count = 0;
    kills->is_known = read_own_oom_kills(root, NULL, "memory.events", &kills->count) ||
                      read_own_oom_kills(root, "memory", "memory.oom_control", &kills->count);
}

char *dinv_host_limits_explain_kill(const char *root, const DinvHostOomKills *before,
                                    guint64 guest_bytes) {
    DinvHostOomKills now;
    dinv_host_limits_count_oom_kills(root, &now);
    if (!before->is_known || !now.is_known) {
        return g_strdup("was the container out of memory?");
    }
    if (now.count <= before->count) {
        return g_strdup("not for want of memory, so somebody asked for it");
    }
    DinvHostLimits limits;
    dinv_host_limits_read(root, &limits);
    if (limits.memory_limit == 0) {
        return g_strdup_printf(
            "the machine ran out of memory (the guest may take %" G_GUINT64_FORMAT
            " MiB of it); set DINV_MEMORY lower, or stop something else",
            guest_bytes >> 20);
    }
    return g_strdup_printf("the container ran out of memory (its limit is %" G_GUINT64_FORMAT
                           " MiB, the guest may take %" G_GUINT64_FORMAT
                           " MiB); set DINV_MEMORY lower, or give the container more "
                           "(docker run --memory)",
                           limits.memory_limit / MEBI, guest_bytes / MEBI);
}

guint dinv_host_limits_default_cpus(const DinvHostLimits *limits) {
    guint cpus = limits->cpus_online;
    if (limits->cpus_quota != 0) {
        cpus = MIN(cpus, limits->cpus_quota);
    }
    return CLAMP(cpus, 1, DINV_CPUS_MAXIMUM);
}

guint64 dinv_host_limits_headroom(guint64 limit) {
    return MAX(256 * MEBI, limit / 8);
}

guint64 dinv_host_limits_tcg_buffer(const DinvHostLimits *limits, guint64 guest_bytes) {
    /* QEMU's program, kernel image, heap and page tables, 9p, the launcher with many streams. */
    const guint64 fixed = 96 * MEBI + guest_bytes / 256;
    if (limits->memory_limit == 0) {
        return 0;
    }
    guint64 spare;
    spare =
        limits->memory_limit > guest_bytes + fixed ? limits->memory_limit - guest_bytes - fixed : 0;
    /* What describes the code takes an eighth of what the code takes. */
    return CLAMP(spare / 9 * 8, 32 * MEBI, 512 * MEBI) / MEBI * MEBI;
}

guint64 dinv_host_limits_default_memory(const DinvHostLimits *limits) {
    guint64 memory;
    if (limits->memory_limit != 0) {
        guint64 headroom = dinv_host_limits_headroom(limits->memory_limit);
        memory = limits->memory_limit > headroom ? limits->memory_limit - headroom : 0;
    } else if (limits->memory_total != 0) {
        memory = CLAMP(limits->memory_total / 2, 512 * MEBI, 8 * GIBI);
    } else {
        memory = 1 * GIBI;
    }
    if (limits->memory_total != 0) {
        memory = MIN(memory, limits->memory_total / 8 * 7);
    }
    return MAX(memory / MEBI * MEBI, DINV_MEMORY_MINIMUM);
}

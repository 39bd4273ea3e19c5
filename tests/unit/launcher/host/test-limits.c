/* SPDX-License-Identifier: MIT */
/* Limits of cgroup v1 and v2 in a tree of files below a root of the test's own. */
#include <glib/gstdio.h>

#include "launcher/host/limits.h"
#include "tests/unit/lib/scratch.h"

#define MEBI (G_GUINT64_CONSTANT(1) << 20)
#define GIBI (G_GUINT64_CONSTANT(1) << 30)

#define MEMINFO  "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   8388608 kB\n"
#define MOUNT_V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1_MEMORY                                                                            \
    "33 32 0:29 %s /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup cgroup rw,memory\n"
#define MOUNT_V1_CPU                                                                               \
    "34 32 0:30 %s /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"

typedef struct {
    Scratch scratch;
    DinvHostLimits limits;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    scratch_write(&fixture->scratch, "proc/meminfo", MEMINFO);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_remove(&fixture->scratch);
}

static const DinvHostLimits *read_limits(Fixture *fixture) {
    dinv_host_limits_read(fixture->scratch.path, &fixture->limits);
    return &fixture->limits;
}

static void write_v2(Fixture *fixture, const char *cgroup) {
    g_autofree char *line = g_strdup_printf("0::%s\n", cgroup);
    scratch_write(&fixture->scratch, "proc/self/cgroup", line);
    scratch_write(&fixture->scratch, "proc/self/mountinfo",
                  "1 0 8:1 / / rw - ext4 /dev/a rw\n" MOUNT_V2);
}

static void test_nothing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvHostLimits limits;
    dinv_host_limits_read("/nonexistent", &limits);
    g_assert_cmpuint(limits.cpus_online, >=, 1);
    g_assert_cmpuint(limits.cpus_quota, ==, 0);
    g_assert_cmpuint(limits.memory_total, ==, 0);
    g_assert_cmpuint(limits.memory_limit, ==, 0);
    g_assert_cmpuint(dinv_host_limits_default_memory(&limits), ==, 1 * GIBI);
    read_limits(fixture);
    g_assert_cmpuint(fixture->limits.memory_total, ==, 16 * GIBI);
    g_assert_cmpuint(fixture->limits.memory_available, ==, 8 * GIBI);
}

static void test_v2_namespace(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "2147483648\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu.max", "150000 100000\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 2 * GIBI);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 2);
    g_assert_cmpuint(fixture->limits.pids_limit, ==, 0);
    scratch_write(&fixture->scratch, "sys/fs/cgroup/pids.max", "100\n");
    g_assert_cmpuint(read_limits(fixture)->pids_limit, ==, 100);
    scratch_write(&fixture->scratch, "sys/fs/cgroup/pids.max", "max\n");
    g_assert_cmpuint(read_limits(fixture)->pids_limit, ==, 0);
}

static void test_v2_unlimited(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "max\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu.max", "max 100000\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 0);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 0);
}

/* The tightest limit on the way up holds, wherever it stands. */
static void test_v2_walk(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/a/b/c");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "9000000000\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/a/memory.max", "1073741824\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/a/b/memory.max", "3000000000\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/a/b/c/memory.max", "max\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 1 * GIBI);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 1);
}

/* A process that was moved out of the namespace's top: only the mount point can be asked. */
static void test_v2_outside(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/../../other");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "1073741824\n");
    scratch_write(&fixture->scratch, "sys/other/memory.max", "1048576\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 1 * GIBI);
}

static void write_v1(Fixture *fixture, const char *cgroup, const char *top) {
    g_autofree char *groups = g_strdup_printf(
        "12:cpu,cpuacct:%s\n9:memory:%s\n1:name=systemd:/x\n0::/system.slice\n", cgroup, cgroup);
    g_autofree char *memory = g_strdup_printf(MOUNT_V1_MEMORY, top);
    g_autofree char *cpu = g_strdup_printf(MOUNT_V1_CPU, top);
    g_autofree char *mounts = g_strconcat(cpu, memory, NULL);
    scratch_write(&fixture->scratch, "proc/self/cgroup", groups);
    scratch_write(&fixture->scratch, "proc/self/mountinfo", mounts);
}

/* Docker on cgroup v1: the path is the host's, the mount shows its own cgroup as the top. */
static void test_v1_container(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v1(fixture, "/docker/abc", "/docker/abc");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 1 * GIBI);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 3);
}

static void test_v1_below_top(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v1(fixture, "/docker/abc/inner", "/docker/abc");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.limit_in_bytes",
                  "9223372036854771712\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/inner/memory.limit_in_bytes",
                  "2147483648\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 2 * GIBI);
}

/* "/docker/abcd" is not below "/docker/abc". */
static void test_v1_other_name(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v1(fixture, "/docker/abcd", "/docker/abc");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memoryd/memory.limit_in_bytes", "1048576\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 2 * GIBI);
}

static void test_v1_unlimited(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v1(fixture, "/", "/");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.limit_in_bytes",
                  "9223372036854771712\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 0);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 0);
}

static void test_above_machine(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "99999999999999\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 0);
}

static void test_garbage(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "proc/self/cgroup", "::\n0:\n\n0::/\n");
    scratch_write(&fixture->scratch, "proc/self/mountinfo",
                  " - \n1 2 3 - cgroup2\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n" MOUNT_V2);
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "-5\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/cpu.max", "0 0\n");
    scratch_write(&fixture->scratch, "proc/meminfo",
                  "MemTotal\nMemTotal: 99999999999999999999 kB\n");
    g_assert_cmpuint(read_limits(fixture)->memory_limit, ==, 0);
    g_assert_cmpuint(fixture->limits.cpus_quota, ==, 0);
    g_assert_cmpuint(fixture->limits.memory_total, ==, 0);
}

static void test_default_cpus(void) {
    g_assert_cmpuint(dinv_host_limits_default_cpus(&(DinvHostLimits){.cpus_online = 8}), ==, 8);
    g_assert_cmpuint(
        dinv_host_limits_default_cpus(&(DinvHostLimits){.cpus_online = 8, .cpus_quota = 3}), ==, 3);
    g_assert_cmpuint(
        dinv_host_limits_default_cpus(&(DinvHostLimits){.cpus_online = 2, .cpus_quota = 3}), ==, 2);
    g_assert_cmpuint(dinv_host_limits_default_cpus(&(DinvHostLimits){.cpus_online = 128}), ==, 64);
}

static void test_default_memory(void) {
    static const struct {
        guint64 limit;
        guint64 total;
        guint64 wanted;
    } cases[] = {
        {4 * GIBI, 64 * GIBI, 3584 * MEBI}, /* less an eighth */
        {1 * GIBI, 64 * GIBI, 768 * MEBI},  /* less 256 MiB */
        {300 * MEBI, 64 * GIBI, 256 * MEBI},
        {100 * MEBI, 64 * GIBI, 256 * MEBI},
        {0, 64 * GIBI, 8 * GIBI},
        {0, 6 * GIBI, 3 * GIBI},
        {0, 768 * MEBI, 512 * MEBI},
        {0, 512 * MEBI, 448 * MEBI},
        {0, 0, 1 * GIBI},
        {63 * GIBI, 64 * GIBI, 56448 * MEBI},
        {1234567891, 64 * GIBI, 921 * MEBI},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvHostLimits limits = {
            .cpus_online = 1, .memory_limit = cases[i].limit, .memory_total = cases[i].total};
        g_assert_cmpuint(dinv_host_limits_default_memory(&limits), ==, cases[i].wanted);
    }
}

static void assert_explained(Fixture *fixture, const DinvHostOomKills *before, const char *text) {
    g_autofree char *said =
        dinv_host_limits_explain_kill(fixture->scratch.path, before, 1024 * MEBI);
    g_assert_cmpstr(said, ==, text);
}

static void test_oom_v2(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v2(fixture, "/");
    DinvHostOomKills before;
    dinv_host_limits_count_oom_kills(fixture->scratch.path, &before);
    g_assert_false(before.is_known);
    assert_explained(fixture, &before, "was the container out of memory?");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.events",
                  "low 0\noom 4\noom_kill 3\noom_group_kill 0\n");
    dinv_host_limits_count_oom_kills(fixture->scratch.path, &before);
    g_assert_true(before.is_known);
    g_assert_cmpuint(before.count, ==, 3);
    assert_explained(fixture, &before, "not for want of memory, so somebody asked for it");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.events", "oom 5\noom_kill 4\n");
    assert_explained(fixture, &before,
                     "the machine ran out of memory (the guest may take 1024 MiB of it); set "
                     "DINV_MEMORY lower, or stop something else");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "1073741824\n");
    assert_explained(fixture, &before,
                     "the container ran out of memory (its limit is 1024 MiB, the guest may take "
                     "1024 MiB); set DINV_MEMORY lower, or give the container more (docker run "
                     "--memory)");
}

static void test_oom_v1(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_v1(fixture, "/docker/abc", "/docker/abc");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.oom_control",
                  "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    DinvHostOomKills kills;
    dinv_host_limits_count_oom_kills(fixture->scratch.path, &kills);
    g_assert_true(kills.is_known);
    g_assert_cmpuint(kills.count, ==, 7);
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory/memory.oom_control",
                  "oom_kill_disable 0\nunder_oom 0\noom_kill many\n");
    dinv_host_limits_count_oom_kills(fixture->scratch.path, &kills);
    g_assert_false(kills.is_known);
}

static void test_tcg_buffer(void) {
    static const struct {
        guint64 limit;
        guint64 guest;
        guint64 wanted;
    } cases[] = {
        {0, 2 * GIBI, 0},
        {1 * GIBI, 768 * MEBI, 139 * MEBI},
        {4 * GIBI, 3584 * MEBI, 357 * MEBI},
        {64 * GIBI, 8 * GIBI, 512 * MEBI},
        {512 * MEBI, 1 * GIBI, 32 * MEBI},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvHostLimits limits = {.memory_limit = cases[i].limit, .memory_total = 64 * GIBI};
        g_assert_cmpuint(dinv_host_limits_tcg_buffer(&limits, cases[i].guest), ==, cases[i].wanted);
    }
}

#define ADD(name, function) g_test_add("/limits/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("nothing", test_nothing);
    ADD("v2/namespace", test_v2_namespace);
    ADD("v2/unlimited", test_v2_unlimited);
    ADD("v2/walk", test_v2_walk);
    ADD("v2/outside", test_v2_outside);
    ADD("v1/container", test_v1_container);
    ADD("v1/below-top", test_v1_below_top);
    ADD("v1/other-name", test_v1_other_name);
    ADD("v1/unlimited", test_v1_unlimited);
    ADD("above-machine", test_above_machine);
    ADD("garbage", test_garbage);
    ADD("oom/v2", test_oom_v2);
    ADD("oom/v1", test_oom_v1);
    g_test_add_func("/limits/default-cpus", test_default_cpus);
    g_test_add_func("/limits/default-memory", test_default_memory);
    g_test_add_func("/limits/tcg-buffer", test_tcg_buffer);
    return g_test_run();
}

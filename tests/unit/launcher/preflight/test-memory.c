/* SPDX-License-Identifier: MIT */
/* The check of the guest's memory against the machine's and the container's. */
#include "tests/unit/lib/preflight-fixture.h"

static void test_memory(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config->memory_bytes = 9000 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(
        strstr(find_line(fixture, "memory", DINV_PREFLIGHT_WARNING)->text, "8192 MiB are"));
    fixture->config->memory_bytes = 20000 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "memory", DINV_PREFLIGHT_WARNING)->text,
                            "the machine's memory is"));
    scratch_write(&fixture->scratch, "proc/self/cgroup", "0::/\n");
    scratch_write(&fixture->scratch, "proc/self/mountinfo",
                  "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "1073741824\n");
    fixture->config->memory_bytes = 1024 * MEBI;
    g_assert_true(run(fixture));
    g_assert_nonnull(strstr(find_line(fixture, "memory", DINV_PREFLIGHT_WARNING)->text,
                            "the container's memory limit is 1024 MiB"));
    fixture->config->memory_bytes = 768 * MEBI; /* the default for that limit */
    g_assert_true(run(fixture));
    g_assert_nonnull(find_line(fixture, "memory", DINV_PREFLIGHT_OK));
    scratch_write(&fixture->scratch, "sys/fs/cgroup/memory.max", "67108864\n");
    assert_failed(fixture, "memory", "limit is 64 MiB, too small");
}

/* Of a machine whose guest's processes are ours, and of no other. */
static void test_processes(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "proc/self/cgroup", "0::/\n");
    scratch_write(&fixture->scratch, "proc/self/mountinfo",
                  "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    scratch_write(&fixture->scratch, "sys/fs/cgroup/pids.max", "100\n");
    g_assert_true(run(fixture));
    g_assert_null(find_line(fixture, "processes", DINV_PREFLIGHT_WARNING));
    fixture->config->accel = DINV_ACCEL_UML;
    set_text(&fixture->config->uml_kernel, find_fake_kernel());
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, "processes", DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(line);
    g_assert_nonnull(strstr(line->text, "may have 100 processes"));
    g_assert_nonnull(strstr(line->remedy, "--pids-limit"));
    scratch_write(&fixture->scratch, "sys/fs/cgroup/pids.max", "4096\n");
    g_assert_true(run(fixture));
    g_assert_nonnull(find_line(fixture, "processes", DINV_PREFLIGHT_OK));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("memory", test_memory);
    PREFLIGHT_TEST("processes", test_processes);
    return g_test_run();
}

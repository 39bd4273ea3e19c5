/* SPDX-License-Identifier: MIT */
/* The check of a disk before it is mounted: with the real e2fsck on images of ours, and with
 * scripts in its place that hang. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib/guest-harness.h"

#include "ext4/create.h"
#include "guest/disks/disk.h"
#include "guest/disks/repair.h"
#include "guest/disks/superblock.h"
#include "tests/unit/lib/scratch.h"

#define MEBI  (G_GUINT64_CONSTANT(1) << 20)
#define BLOCK 4096

typedef struct {
    Harness harness;
    Scratch scratch;
    char *image;
    int ended; /* how often a repair told so, and what */
    int result;
    char said[256];
    pid_t pid; /* of the fake e2fsck */
    int ticks;
    DinvTimer *tick;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    fixture->image = scratch_path(&fixture->scratch, "data.img");
    g_assert_true(dinv_ext4_create_data_disk(fixture->image, 64 * MEBI, &error));
    g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_free(fixture->image);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}

/* Sets a field of the superblock, with a right checksum. */
static void debugfs(Fixture *fixture, const char *command) {
    const char *argv[] = {"debugfs", "-w", "-R", command, fixture->image, NULL};
    g_autoptr(GError) error = NULL;
    int status = 0;
    g_setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", TRUE);
    g_assert_true(
        g_spawn_sync(NULL, (char **)argv, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                     NULL, NULL, NULL, NULL, &status, &error));
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
}

static void repair_has_ended(void *user, int result, const char *said) {
    Fixture *fixture = user;
    g_test_message("%d, %s", result, said);
    fixture->ended++;
    fixture->result = result;
    g_strlcpy(fixture->said, said, sizeof fixture->said);
}

static bool is_ended(void *user) {
    const Fixture *fixture = user;
    return fixture->ended > 0;
}

static int start(Fixture *fixture, const char *program, gboolean thorough) {
    const DinvDiskRepairPlan plan = {program, fixture->image, thorough};
    fixture->ended = 0;
    return dinv_disk_repair(fixture->harness.loop, &plan, repair_has_ended, fixture);
}

static int repair(Fixture *fixture, gboolean thorough) {
    g_assert_cmpint(start(fixture, "e2fsck", thorough), ==, 0);
    harness_run_until(&fixture->harness, is_ended, fixture);
    g_assert_cmpint(fixture->ended, ==, 1);
    return fixture->result;
}

static void test_new(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvDiskSuperblock super;
    int fd = open(fixture->image, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(dinv_disk_superblock_read(fd, &super), ==, 0);
    close(fd);
    g_assert_cmpuint(super.blocks, ==, 64 * MEBI / BLOCK);
    g_assert_cmpuint(super.block_size, ==, BLOCK);
    g_assert_true(super.was_unmounted);
    g_assert_false(super.has_errors || super.needs_replay);
    g_assert_false(dinv_disk_needs_repair(fixture->image));
}

static void test_unmounted_badly(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    debugfs(fixture, "set_super_value state 0");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE), ==, 0);
    g_assert_false(dinv_disk_needs_repair(fixture->image));
}

static void test_errors_noted(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    debugfs(fixture, "set_super_value state 3");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE), ==, 0);
    g_assert_false(dinv_disk_needs_repair(fixture->image));
}

/* A wrong count of free blocks: repaired without a question. */
static void test_small_damage(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    debugfs(fixture, "set_super_value free_inodes_count 1");
    debugfs(fixture, "set_super_value state 2");
    g_assert_cmpint(repair(fixture, FALSE), ==, 0);
    g_assert_cmpint(repair(fixture, TRUE), ==, 0);
}

/* The root directory's inode is gone: what is in it would be lost. */
static void test_beyond_repair(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    debugfs(fixture, "clri <2>");
    debugfs(fixture, "set_super_value state 2");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE), ==, -EUCLEAN);
    g_assert_true(g_str_has_prefix(fixture->said, "Root inode is not a directory."));
}

static void test_no_ext4(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_true(g_file_set_contents(fixture->image, "short", -1, NULL));
    g_assert_false(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE), ==, -EIO);
    g_assert_false(dinv_disk_needs_repair("/nonexistent"));
}

/* --- a check that takes long ------------------------------------------------------------------ */

/* Writes a script that says its process number, and runs it in place of e2fsck. */
static void start_fake(Fixture *fixture, const char *script) {
    g_autofree char *text = g_strdup_printf(
        "#!/bin/sh\nimage=$2\n%s\necho $$ > \"$image.pid\"\nwhile :; do sleep 0.01; done\n",
        script);
    g_autofree char *program = scratch_path(&fixture->scratch, "e2fsck");
    scratch_write(&fixture->scratch, "e2fsck", text);
    g_assert_cmpint(chmod(program, 0755), ==, 0);
    g_assert_cmpint(start(fixture, program, FALSE), ==, 0);
}

static void count_tick(void *user) {
    Fixture *fixture = user;
    fixture->ticks++;
    dinv_timer_set(fixture->tick, 1);
}

static bool has_ticked(void *user) {
    const Fixture *fixture = user;
    return fixture->ticks >= 10;
}

static bool fake_is_running(void *user) {
    Fixture *fixture = user;
    g_autofree char *text = NULL;
    if (g_file_get_contents(fixture->said, &text, NULL, NULL) && g_str_has_suffix(text, "\n")) {
        fixture->pid = (pid_t)g_ascii_strtoll(text, NULL, 10);
    }
    return fixture->pid > 0;
}

/* Waits until it hangs, and shows that the loop does not. */
static void expect_hanging(Fixture *fixture) {
    (void)g_snprintf(fixture->said, sizeof fixture->said, "%s.pid", fixture->image);
    harness_run_until(&fixture->harness, fake_is_running, fixture);
    fixture->tick = dinv_timer_new(fixture->harness.loop, count_tick, fixture);
    dinv_timer_set(fixture->tick, 0);
    harness_run_until(&fixture->harness, has_ticked, fixture);
    dinv_timer_free(fixture->tick);
    g_assert_cmpint(fixture->ended, ==, 0);
}

/* As the shutdown does it: SIGTERM, upon which e2fsck(8) ends with 32, "canceled by user". */
static void test_ended_in_order(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *mark = g_strdup_printf("%s.ended", fixture->image);
    start_fake(fixture,
               "trap 'echo data.img: e2fsck canceled.; : > \"$image.ended\"; exit 32' TERM");
    expect_hanging(fixture);
    g_assert_cmpint(kill(fixture->pid, SIGTERM), ==, 0);
    harness_run_until(&fixture->harness, is_ended, fixture);
    g_assert_cmpint(fixture->result, ==, -EIO);
    g_assert_cmpstr(fixture->said, ==, "e2fsck canceled.");
    g_assert_true(g_file_test(mark, G_FILE_TEST_EXISTS));
}

static void test_killed(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    start_fake(fixture, "trap '' TERM");
    expect_hanging(fixture);
    g_assert_cmpint(kill(fixture->pid, SIGTERM), ==, 0);
    g_assert_cmpint(kill(fixture->pid, SIGKILL), ==, 0);
    harness_run_until(&fixture->harness, is_ended, fixture);
    g_assert_cmpint(fixture->result, ==, -EIO);
    g_assert_cmpstr(fixture->said, ==, "nothing");
}

/* More than a pipe holds, and than is kept of it: e2fsck does not wait for a reader. */
static void test_talkative(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    start_fake(fixture, "echo data.img: first; i=0; while [ $i -lt 20000 ]; do echo; i=$((i+1));"
                        "echo 'data.img: and a line'; done; exit 4");
    harness_run_until(&fixture->harness, is_ended, fixture);
    g_assert_cmpint(fixture->result, ==, -EUCLEAN);
    g_assert_cmpstr(fixture->said, ==, "and a line");
}

static void test_no_e2fsck(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(start(fixture, "/nonexistent/e2fsck", FALSE), ==, -ENOENT);
    for (guint i = 0; i < 10; i++) {
        g_assert_cmpint(dinv_loop_iterate(fixture->harness.loop, 1), ==, 0);
    }
    g_assert_cmpint(fixture->ended, ==, 0);
}

static void test_judge(void) {
    static const struct {
        int status; /* of wait(2) */
        int wanted;
    } cases[] = {
        {0, 0},
        {1 << 8, 0},
        {2 << 8, 0},
        {3 << 8, 0},
        {4 << 8, -EUCLEAN},
        {5 << 8, -EUCLEAN},
        {12 << 8, -EUCLEAN},
        {8 << 8, -EIO},
        {16 << 8, -EIO},
        {32 << 8, -EIO},
        {SIGKILL, -EIO},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(dinv_disk_judge_e2fsck(cases[i].status), ==, cases[i].wanted);
    }
}

static void test_usage(void) {
    DinvDiskUsage usage = {0};
    g_assert_cmpint(dinv_disk_usage("/nonexistent", &usage), ==, -ENOENT);
    g_assert_cmpuint(usage.total, ==, 0);
    g_assert_cmpint(dinv_disk_usage("/", &usage), ==, 0);
    g_assert_cmpuint(usage.total, >, 0);
    g_assert_cmpuint(usage.used + usage.available, <=, usage.total);
}

#define ADD(name, function)                                                                        \
    g_test_add("/guest/disk/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("new", test_new);
    ADD("unmounted-badly", test_unmounted_badly);
    ADD("errors-noted", test_errors_noted);
    ADD("small-damage", test_small_damage);
    ADD("beyond-repair", test_beyond_repair);
    ADD("no-ext4", test_no_ext4);
    ADD("ended-in-order", test_ended_in_order);
    ADD("killed", test_killed);
    ADD("talkative", test_talkative);
    ADD("no-e2fsck", test_no_e2fsck);
    g_test_add_func("/guest/disk/judge", test_judge);
    g_test_add_func("/guest/disk/usage", test_usage);
    return g_test_run();
}

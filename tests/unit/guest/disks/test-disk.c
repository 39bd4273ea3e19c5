/* SPDX-License-Identifier: MIT */
/* The check of a disk before it is mounted, with the real e2fsck on images of ours. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext4/create.h"
#include "guest/disks/disk.h"
#include "guest/disks/repair.h"
#include "guest/disks/superblock.h"
#include "tests/unit/lib/scratch.h"

#define MEBI  (G_GUINT64_CONSTANT(1) << 20)
#define BLOCK 4096

typedef struct {
    Scratch scratch;
    char *image;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;

    scratch_make(&fixture->scratch);
    fixture->image = scratch_path(&fixture->scratch, "data.img");
    g_assert_true(dinv_ext4_create_data_disk(fixture->image, 64 * MEBI, &error));
    g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_free(fixture->image);
    scratch_remove(&fixture->scratch);
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

static int repair(Fixture *fixture, gboolean thorough, char *said, size_t size) {
    int result = dinv_disk_repair(fixture->image, thorough, said, size);

    g_test_message("%d, %s", result, said);
    return result;
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
    char said[128];

    debugfs(fixture, "set_super_value state 0");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE, said, sizeof said), ==, 0);
    g_assert_false(dinv_disk_needs_repair(fixture->image));
}

static void test_errors_noted(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char said[128];

    debugfs(fixture, "set_super_value state 3");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE, said, sizeof said), ==, 0);
    g_assert_false(dinv_disk_needs_repair(fixture->image));
}

/* A wrong count of free blocks: repaired without a question. */
static void test_small_damage(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char said[128];

    debugfs(fixture, "set_super_value free_inodes_count 1");
    debugfs(fixture, "set_super_value state 2");
    g_assert_cmpint(repair(fixture, FALSE, said, sizeof said), ==, 0);
    g_assert_cmpint(repair(fixture, TRUE, said, sizeof said), ==, 0);
}

/* The root directory's inode is gone: what is in it would be lost. */
static void test_beyond_repair(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char said[128];

    debugfs(fixture, "clri <2>");
    debugfs(fixture, "set_super_value state 2");
    g_assert_true(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE, said, sizeof said), ==, -EUCLEAN);
    g_assert_true(g_str_has_prefix(said, "Root inode is not a directory."));
}

static void test_no_ext4(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    char said[128];

    g_assert_true(g_file_set_contents(fixture->image, "short", -1, NULL));
    g_assert_false(dinv_disk_needs_repair(fixture->image));
    g_assert_cmpint(repair(fixture, FALSE, said, sizeof said), ==, -EIO);
    g_assert_false(dinv_disk_needs_repair("/nonexistent"));
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
    g_test_add_func("/guest/disk/judge", test_judge);
    g_test_add_func("/guest/disk/usage", test_usage);
    return g_test_run();
}

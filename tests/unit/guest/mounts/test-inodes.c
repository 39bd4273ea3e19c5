/* SPDX-License-Identifier: MIT */
/* When the caches are dropped. The files of the kernel are ordinary ones here. */
#include "guest/mounts/inodes.h"

#include <sys/wait.h>

#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/scratch.h"

#define INODES_MAX 1000u

typedef struct {
    Harness harness;
    Scratch scratch;
    char *count;
    char *drop;
    DinvMountsInodes *inodes;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    scratch_write(&fixture->scratch, "count", "999\t12\n");
    scratch_write(&fixture->scratch, "drop", "");
    fixture->count = scratch_path(&fixture->scratch, "count");
    fixture->drop = scratch_path(&fixture->scratch, "drop");
    const DinvMountsInodesOptions options = {fixture->count, fixture->drop, 1};
    fixture->inodes = dinv_mounts_inodes_new(fixture->harness.loop, &options);
    g_assert_nonnull(fixture->inodes);
    dinv_mounts_inodes_set_max(fixture->inodes, INODES_MAX);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_mounts_inodes_free(fixture->inodes);
    harness_clear(&fixture->harness);
    g_free(fixture->count);
    g_free(fixture->drop);
    scratch_remove(&fixture->scratch);
}

static bool was_dropped(void *user) {
    const Fixture *fixture = user;
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(fixture->drop, &text, NULL, NULL));
    return strcmp(text, "3") == 0;
}

static bool no_child_is_left(void *user G_GNUC_UNUSED) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static void set_count(Fixture *fixture, const char *count) {
    scratch_write(&fixture->scratch, "drop", "");
    scratch_write(&fixture->scratch, "count", count);
}

/* Dropping never helps here: afterwards there are still as many. */
static void expect_drop(Fixture *fixture, const char *count) {
    set_count(fixture, count);
    harness_run_until(&fixture->harness, was_dropped, fixture);
    harness_run_until(&fixture->harness, no_child_is_left, NULL);
}

/* In each of these rounds a look is due. */
static void expect_none(Fixture *fixture, const char *count) {
    set_count(fixture, count);
    for (guint i = 0; i < 20; i++) {
        g_assert_cmpint(dinv_loop_iterate(fixture->harness.loop, 100), ==, 0);
    }
    g_assert_true(no_child_is_left(NULL));
    g_assert_false(was_dropped(fixture));
}

static void test_above_the_limit(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    expect_none(fixture, "1000\t0\n");
    expect_drop(fixture, "1001\t0\n");
}

/* Not again and again where so many are in use; and as before when they are so no longer. */
static void test_in_use(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    expect_drop(fixture, "1600\t0\n");
    expect_none(fixture, "2100\t0\n");
    expect_drop(fixture, "2101\t0\n");
    expect_none(fixture, "900\t0\n");
    expect_drop(fixture, "1401\t0\n");
}

static void test_without_a_limit(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_mounts_inodes_set_max(fixture->inodes, 0);
    expect_none(fixture, "1000000\t0\n");
    dinv_mounts_inodes_set_max(fixture->inodes, INODES_MAX);
    expect_drop(fixture, "1000000\t0\n");
}

static void test_unreadable(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    expect_none(fixture, "many\n");
    expect_none(fixture, "");
    expect_drop(fixture, "1001\n");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/guest/inodes/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("above-the-limit", test_above_the_limit);
    ADD("in-use", test_in_use);
    ADD("without-a-limit", test_without_a_limit);
    ADD("unreadable", test_unreadable);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Copies of single files: that they follow, and that nothing is left. */
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/mounts/files.h"
#include "launcher/settings/types.h"
#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
    char *state_dir;
    char *source;
    char *copy;
    GPtrArray *mounts;
    DinvMountFiles *files;
} Fixture;

static void add_mount(Fixture *fixture, const char *source, gboolean is_file) {
    DinvMountSpec *mount = g_new0(DinvMountSpec, 1);

    *mount = (DinvMountSpec){g_strdup(source), g_strdup(source), TRUE, is_file};
    g_ptr_array_add(fixture->mounts, mount);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_log_start(DINV_LOG_ERROR);
    scratch_make(&fixture->scratch);
    fixture->state_dir = scratch_path(&fixture->scratch, "state");
    g_assert_cmpint(g_mkdir(fixture->state_dir, 0700), ==, 0);
    fixture->source = scratch_path(&fixture->scratch, "netrc");
    fixture->copy = scratch_path(&fixture->scratch, "state/files/1");
    fixture->mounts = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    scratch_write(&fixture->scratch, "netrc", "first");
    g_assert_cmpint(g_chmod(fixture->source, 0440), ==, 0);
    add_mount(fixture, "/", FALSE);
    add_mount(fixture, fixture->source, TRUE);
}

static void start(Fixture *fixture) {
    g_autoptr(GError) error = NULL;

    gboolean started =
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, &fixture->files, &error);
    g_assert_no_error(error);
    g_assert_true(started);
    g_assert_nonnull(fixture->files);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_mount_files_free(fixture->files);
    g_assert_cmpint(g_rmdir(fixture->state_dir), ==, 0); /* it is empty */
    g_ptr_array_unref(fixture->mounts);
    g_free(fixture->state_dir);
    g_free(fixture->source);
    g_free(fixture->copy);
    scratch_remove(&fixture->scratch);
}

static char *read_copy(Fixture *fixture) {
    char *text = NULL;

    (void)g_file_get_contents(fixture->copy, &text, NULL, NULL);
    return text;
}

static gboolean on_guard(gpointer user G_GNUC_UNUSED) {
    g_error("the copy did not follow within 20 s");
    return G_SOURCE_REMOVE;
}

static void wait_for(Fixture *fixture, const char *text) {
    guint guard = g_timeout_add_seconds(20, on_guard, NULL);

    for (;;) {
        g_autofree char *now = read_copy(fixture);

        if (g_strcmp0(now, text) == 0) {
            break;
        }
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(guard);
}

static void test_copy(Fixture *fixture, gconstpointer data) {
    g_autofree char *first = NULL;
    struct stat status;

    (void)data;
    start(fixture);
    first = read_copy(fixture);
    g_assert_cmpstr(first, ==, "first");
    g_assert_cmpint(g_stat(fixture->copy, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0640);
    g_assert_cmpint(g_stat(dinv_mount_files_get_directory(fixture->files), &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0700);
}

/* Longer, shorter, replaced as editors do it, gone and back again: the copy stays the same file. */
static void test_follow(Fixture *fixture, gconstpointer data) {
    g_autofree char *new_name = scratch_path(&fixture->scratch, "new");
    struct stat before;
    struct stat after;

    (void)data;
    g_assert_cmpint(g_chmod(fixture->source, 0600), ==, 0);
    start(fixture);
    g_assert_cmpint(g_stat(fixture->copy, &before), ==, 0);
    scratch_write(&fixture->scratch, "netrc", "the second and longer one");
    wait_for(fixture, "the second and longer one");
    g_assert_cmpint(truncate(fixture->source, 3), ==, 0);
    wait_for(fixture, "the");
    scratch_write(&fixture->scratch, "new", "replaced");
    g_assert_cmpint(g_rename(new_name, fixture->source), ==, 0);
    wait_for(fixture, "replaced");
    scratch_write(&fixture->scratch, "netrc", "and written again");
    wait_for(fixture, "and written again");
    g_assert_cmpint(g_unlink(fixture->source), ==, 0);
    scratch_write(&fixture->scratch, "netrc", "back");
    wait_for(fixture, "back");
    g_assert_cmpint(g_stat(fixture->copy, &after), ==, 0);
    g_assert_cmpuint(after.st_ino, ==, before.st_ino);
}

/* What a killed launcher left is no part of the next one's. */
static void test_leftovers(Fixture *fixture, gconstpointer data) {
    g_autofree char *old = scratch_path(&fixture->scratch, "state/files/7");

    (void)data;
    scratch_write(&fixture->scratch, "state/files/7", "secret of yesterday");
    start(fixture);
    g_assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
}

/* None is no failure; and what a killed launcher left goes then, too. */
static void test_no_files(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autofree char *old = scratch_path(&fixture->scratch, "state/files/7");

    (void)data;
    scratch_write(&fixture->scratch, "state/files/7", "secret of yesterday");
    g_ptr_array_set_size(fixture->mounts, 1);
    g_assert_true(
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, &fixture->files, &error));
    g_assert_null(fixture->files);
    g_assert_no_error(error);
    g_assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
    g_assert_null(dinv_mount_files_get_directory(NULL));
}

static void test_unreadable(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autofree char *missing = scratch_path(&fixture->scratch, "missing");

    (void)data;
    add_mount(fixture, missing, TRUE);
    g_assert_false(
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, &fixture->files, &error));
    g_assert_null(fixture->files);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/mount-files/" name, Fixture, NULL, set_up, test, tear_down)
    ADD("copy", test_copy);
    ADD("follow", test_follow);
    ADD("leftovers", test_leftovers);
    ADD("no-files", test_no_files);
    ADD("unreadable", test_unreadable);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Copies of single files: that they follow, that nothing is left, and that a file which cannot be
 * read, or hangs, harms neither the copy nor the loop. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/base/log.h"
#include "launcher/mounts/files.h"
#include "launcher/mounts/spec.h"
#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

#define FIRST "first"

/* --- A file system that fails or hangs --- */

static struct {
    GMutex lock;
    GCond released;
    const char *path;   /* of the file that is unlike others; NULL: none */
    gboolean fails;     /* reading it does, but for the first time */
    gboolean hangs;     /* until released */
    guint times;        /* that it was read from its beginning */
    GThread *main_loop; /* which must not read it */
} odd;
static gboolean is_odd(int fd) {
    struct stat odd_status;
    struct stat status;
    return odd.path != NULL && fstat(fd, &status) == 0 && stat(odd.path, &odd_status) == 0 &&
           status.st_ino == odd_status.st_ino && status.st_dev == odd_status.st_dev;
}

/* Instead of the C library's, in the whole program; the parameters have its names. */
ssize_t read(int fd, void *buf, size_t nbytes) {
    g_mutex_lock(&odd.lock);
    if (is_odd(fd)) {
        g_assert_true(g_thread_self() != odd.main_loop);
        off_t at = lseek(fd, 0, SEEK_CUR);
        odd.times += at == 0 ? 1 : 0;
        while (odd.hangs) {
            g_cond_wait(&odd.released, &odd.lock);
        }
        if (odd.fails && at > 0) {
            g_mutex_unlock(&odd.lock);
            errno = EIO;
            return -1;
        }
    }
    g_mutex_unlock(&odd.lock);
    return (ssize_t)syscall(SYS_read, fd, buf, nbytes);
}

static gint is_full;

/* Likewise: the state directory's file system has no room. */
int fallocate(int fd, int mode, off_t offset, off_t len) {
    if (g_atomic_int_get(&is_full)) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static guint get_odd_times(void) {
    g_mutex_lock(&odd.lock);
    guint times = odd.times;
    g_mutex_unlock(&odd.lock);
    return times;
}

static void set_odd(const char *path, gboolean fails, gboolean hangs) {
    g_mutex_lock(&odd.lock);
    odd.path = path;
    odd.fails = fails;
    odd.hangs = hangs;
    odd.times = 0;
    odd.main_loop = g_thread_self();
    g_cond_broadcast(&odd.released);
    g_mutex_unlock(&odd.lock);
}

/* --- The fixture --- */

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

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_log_start(DINV_LOG_ERROR);
    scratch_make(&fixture->scratch);
    fixture->state_dir = scratch_path(&fixture->scratch, "state");
    g_assert_cmpint(g_mkdir(fixture->state_dir, 0700), ==, 0);
    fixture->source = scratch_path(&fixture->scratch, "netrc");
    fixture->copy = scratch_path(&fixture->scratch, "state/files/1");
    fixture->mounts = g_ptr_array_new_with_free_func((GDestroyNotify)dinv_mount_spec_free);
    scratch_write(&fixture->scratch, "netrc", FIRST);
    g_assert_cmpint(g_chmod(fixture->source, 0440), ==, 0);
    add_mount(fixture, "/", FALSE);
    add_mount(fixture, fixture->source, TRUE);
}

static void start(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    gboolean started =
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, -1, &fixture->files, &error);
    g_assert_no_error(error);
    g_assert_true(started);
    g_assert_nonnull(fixture->files);
}

static guint count_threads(void) {
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    guint count = 0;
    while (g_dir_read_name(tasks) != NULL) {
        count++;
    }
    return count;
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_mount_files_free(fixture->files);
    set_odd(NULL, FALSE, FALSE);
    while (count_threads() > 1) { /* what hung ends now */
        g_usleep(1000);
    }
    while (g_main_context_iteration(NULL, FALSE)) { /* and its result reaches nobody */
    }
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

/* Whether that is the whole of it. */
static gboolean has_text(Fixture *fixture, const char *text) {
    g_autofree char *now = NULL;
    gsize length = 0;
    return g_file_get_contents(fixture->copy, &now, &length, NULL) && length == strlen(text) &&
           memcmp(now, text, length) == 0;
}

/* Runs the loop until the copy has this text. */
static void wait_for(Fixture *fixture, const char *text) {
    wait_until(has_text(fixture, text));
}

/* --- Following --- */

static void test_copy(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *first = NULL;
    struct stat status;
    start(fixture);
    first = read_copy(fixture);
    g_assert_cmpstr(first, ==, FIRST);
    g_assert_cmpint(g_stat(fixture->copy, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0640);
    g_assert_cmpint(g_stat(dinv_mount_files_get_directory(fixture->files), &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0700);
}

/* Longer, shorter, replaced as editors do it, gone and back again: the copy stays the same file. */
static void test_follow(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *new_name = scratch_path(&fixture->scratch, "new");
    struct stat before;
    struct stat after;
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
static void test_leftovers(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *old = scratch_path(&fixture->scratch, "state/files/7");
    scratch_write(&fixture->scratch, "state/files/7", "secret of yesterday");
    start(fixture);
    g_assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
}

/* None is no failure; and what a killed launcher left goes then, too. */
static void test_no_files(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    g_autofree char *old = scratch_path(&fixture->scratch, "state/files/7");
    scratch_write(&fixture->scratch, "state/files/7", "secret of yesterday");
    g_ptr_array_set_size(fixture->mounts, 1);
    g_assert_true(
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, -1, &fixture->files, &error));
    g_assert_null(fixture->files);
    g_assert_no_error(error);
    g_assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
    g_assert_null(dinv_mount_files_get_directory(NULL));
}

static void test_unreadable(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    g_autofree char *missing = scratch_path(&fixture->scratch, "missing");
    add_mount(fixture, missing, TRUE);
    g_assert_false(
        dinv_mount_files_start(fixture->state_dir, fixture->mounts, -1, &fixture->files, &error));
    g_assert_null(fixture->files);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

/* --- What cannot be copied --- */

static gboolean on_tick(gpointer user G_GNUC_UNUSED) {
    return G_SOURCE_CONTINUE;
}

/* Runs the loop until the file has been read in vain, and asserts that the copy stayed as
 * it was. */
static void expect_kept(Fixture *fixture) {
    guint tick = g_timeout_add(50, on_tick, NULL);
    wait_until(get_odd_times() >= 2); /* so the first time is over */
    g_source_remove(tick);
    g_assert_true(has_text(fixture, FIRST));
}

static void test_outgrows(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(g_chmod(fixture->source, 0600), ==, 0);
    start(fixture);
    set_odd(fixture->source, FALSE, FALSE);
    g_assert_cmpint(truncate(fixture->source, (off_t)DINV_MOUNT_FILE_MAX + 1), ==, 0);
    expect_kept(fixture);
    g_assert_cmpint(truncate(fixture->source, 2), ==, 0);
    wait_for(fixture, "fi");
}

static void test_read_fails(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *text = g_strnfill(200000, 'x');
    g_assert_cmpint(g_chmod(fixture->source, 0600), ==, 0);
    start(fixture);
    g_autofree char *new_name = scratch_path(&fixture->scratch, "new");
    scratch_write(&fixture->scratch, "new", text);
    set_odd(new_name, TRUE, FALSE);
    g_assert_cmpint(g_rename(new_name, fixture->source), ==, 0);
    set_odd(fixture->source, TRUE, FALSE);
    expect_kept(fixture);
    set_odd(fixture->source, FALSE, FALSE);
    wait_for(fixture, text);
}

static void test_no_space(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *text = g_strnfill(200000, 'x');
    start(fixture);
    scratch_write(&fixture->scratch, "netrc", text);
    set_odd(fixture->source, FALSE, FALSE);
    g_atomic_int_set(&is_full, TRUE);
    expect_kept(fixture);
    g_atomic_int_set(&is_full, FALSE);
    wait_for(fixture, text);
}

/* As a mount of NFS whose server is gone. The loop goes on, other files are followed, and the end
 * does not wait for it. */
static void test_hangs(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *other = scratch_path(&fixture->scratch, "other");
    scratch_write(&fixture->scratch, "other", FIRST);
    add_mount(fixture, other, TRUE);
    start(fixture);
    set_odd(fixture->source, FALSE, TRUE);
    g_assert_cmpint(g_chmod(fixture->source, 0600), ==, 0);
    guint tick = g_timeout_add(50, on_tick, NULL);
    wait_until(get_odd_times() == 1);
    g_source_remove(tick);
    g_free(fixture->copy);
    fixture->copy = scratch_path(&fixture->scratch, "state/files/2");
    scratch_write(&fixture->scratch, "other", "second");
    wait_for(fixture, "second");
    g_clear_pointer(&fixture->files, dinv_mount_files_free);
    g_assert_false(g_file_test(fixture->copy, G_FILE_TEST_EXISTS));
}

/* At the start it ends a start that is told to stop. */
static void test_hangs_at_start(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    int fds[2];
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    set_odd(fixture->source, FALSE, TRUE);
    g_assert_false(dinv_mount_files_start(fixture->state_dir, fixture->mounts, fds[0],
                                          &fixture->files, &error));
    g_assert_null(fixture->files);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/mount-files/" name, Fixture, NULL, set_up, test, tear_down)
    ADD("copy", test_copy);
    ADD("follow", test_follow);
    ADD("leftovers", test_leftovers);
    ADD("no-files", test_no_files);
    ADD("unreadable", test_unreadable);
    ADD("outgrows", test_outgrows);
    ADD("read-fails", test_read_fails);
    ADD("no-space", test_no_space);
    ADD("hangs", test_hangs);
    ADD("hangs-at-start", test_hangs_at_start);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The state directory: its lock, its disks, and that nothing in it is ever overwritten. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext4/info.h"
#include "launcher/state/directory.h"
#include "tests/unit/lib/scratch.h"

#define GIBI (G_GUINT64_CONSTANT(1) << 30)

typedef struct {
    Scratch scratch;
    DinvConfig config;
    GPtrArray *warnings;
    char *image;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    fixture->config.state_dir = scratch_path(&fixture->scratch, "deep/state");
    fixture->config.disk_bytes = 2 * GIBI;
    fixture->warnings = g_ptr_array_new_with_free_func(g_free);
    fixture->image = scratch_path(&fixture->scratch, "deep/state/data.img");
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_ptr_array_unref(fixture->warnings);
    g_free(fixture->config.state_dir);
    g_free(fixture->config.volume_path);
    g_free(fixture->image);
    scratch_remove(&fixture->scratch);
}

static DinvState *open_good(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    DinvState *disk = dinv_state_open(&fixture->config, &error);
    g_assert_no_error(error);
    g_assert_nonnull(disk);
    return disk;
}

/* Both the check and the opening refuse, with the same kind of error; the message is returned. */
static char *assert_refused(Fixture *fixture, DinvStateError code) {
    g_autoptr(GError) check_error = NULL;
    g_autoptr(GError) open_error = NULL;
    DinvStateFindings state = {0};
    g_assert_false(dinv_state_check(&fixture->config, &state, fixture->warnings, &check_error));
    g_assert_error(check_error, DINV_STATE_ERROR, (int)code);
    g_assert_null(dinv_state_open(&fixture->config, &open_error));
    g_assert_error(open_error, DINV_STATE_ERROR, (int)code);
    g_assert_true(g_str_has_prefix(open_error->message, "DINV_STATE_DIR: "));
    g_test_message("%s", open_error->message);
    return g_strdup(check_error->message);
}

static guint64 size_of(const char *path) {
    struct stat status;
    g_assert_cmpint(stat(path, &status), ==, 0);
    return (guint64)status.st_size;
}

static void test_new(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(DinvState) disk = open_good(fixture);
    g_autoptr(GError) error = NULL;
    struct stat status;
    DinvExt4ImageInfo info;
    g_assert_cmpstr(dinv_state_get_image(disk, DINV_STATE_DISK_DATA), ==, fixture->image);
    g_assert_true(dinv_ext4_image_read_info(fixture->image, &info, &error));
    g_assert_no_error(error);
    g_assert_cmpint(info.kind, ==, DINV_EXT4_IMAGE_DATA);
    g_assert_cmpuint(info.filesystem_bytes, ==, 2 * GIBI);
    g_assert_cmpint(stat(fixture->config.state_dir, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 0777, ==, 0700);
    g_assert_cmpint(stat(fixture->image, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 0077, ==, 0);
}

/* The check changes nothing, and says what would be. */
static void test_check(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GError) error = NULL;
    DinvStateFindings state = {0};
    g_assert_true(dinv_state_check(&fixture->config, &state, fixture->warnings, &error));
    g_assert_no_error(error);
    g_assert_false(state.exists);
    g_assert_false(state.image_exists);
    g_assert_cmpuint(state.free_bytes, >, 0);
    g_assert_false(g_file_test(fixture->config.state_dir, G_FILE_TEST_EXISTS));
    dinv_state_free(open_good(fixture));
    g_assert_true(dinv_state_check(&fixture->config, &state, fixture->warnings, &error));
    g_assert_true(state.exists && state.image_exists);
    g_assert_cmpuint(state.image_bytes, ==, 2 * GIBI);
}

static void test_again(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    struct stat before;
    struct stat after;
    dinv_state_free(open_good(fixture));
    g_assert_cmpint(stat(fixture->image, &before), ==, 0);
    dinv_state_free(open_good(fixture));
    g_assert_cmpint(stat(fixture->image, &after), ==, 0);
    g_assert_cmpuint(before.st_ino, ==, after.st_ino);
    g_assert_cmpint(before.st_mtim.tv_sec, ==, after.st_mtim.tv_sec);
    g_assert_cmpint(before.st_mtim.tv_nsec, ==, after.st_mtim.tv_nsec);
}

static void test_grow(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_state_free(open_good(fixture));
    fixture->config.disk_bytes = 3 * GIBI;
    dinv_state_free(open_good(fixture));
    g_assert_cmpuint(size_of(fixture->image), ==, 3 * GIBI);
}

static void test_never_shrink(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvStateFindings state = {0};
    dinv_state_free(open_good(fixture));
    fixture->config.disk_bytes = 1 * GIBI;
    g_assert_true(dinv_state_check(&fixture->config, &state, fixture->warnings, NULL));
    dinv_state_free(open_good(fixture));
    g_assert_cmpuint(size_of(fixture->image), ==, 2 * GIBI);
    g_assert_cmpuint(fixture->warnings->len, >=, 1);
    g_assert_nonnull(
        strstr(fixture->warnings->pdata[0], "has 2048 MiB already and is never shrunk"));
}

static void test_locked(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvState *disk = open_good(fixture);
    g_autofree char *holder = g_strdup_printf("is in use by another dinv (pid %d on host %s)",
                                              (int)getpid(), g_get_host_name());
    g_autofree char *message = assert_refused(fixture, DINV_STATE_ERROR_IN_USE);
    g_assert_nonnull(strstr(message, holder));
    dinv_state_free(disk);
    dinv_state_free(open_good(fixture));
}

/* The lock goes with a process that is killed, and is not inherited over exec. */
static void test_killed_holder(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    int ready[2];
    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        DinvState *disk = dinv_state_open(&fixture->config, NULL);
        if (write(ready[1], disk == NULL ? "n" : "y", 1) == 1) {
            pause(); /* until it is killed */
        }
        _exit(1);
    }
    close(ready[1]);
    char byte = 0;
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    g_assert_cmpint(byte, ==, 'y');
    g_free(assert_refused(fixture, DINV_STATE_ERROR_IN_USE));
    g_assert_cmpint(kill(child, SIGKILL), ==, 0);
    int status = 0;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    close(ready[0]);
    dinv_state_free(open_good(fixture));
}

static void test_strange_holder(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvState *disk = open_good(fixture);
    /* Truncate and write the open file; the lock stays. */
    g_autofree char *path = scratch_path(&fixture->scratch, "deep/state/lock");
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    g_assert_cmpint(write(fd, "7\x1b[2J\n", 6), ==, 6);
    close(fd);
    g_autofree char *message = assert_refused(fixture, DINV_STATE_ERROR_IN_USE);
    g_assert_nonnull(strstr(message, "(pid 7\\033[2J on host unknown)"));
    dinv_state_free(disk);
}

/* The one file in the state directory that was kept aside; NULL if there is none. */
static char *find_kept(Fixture *fixture, const char *name) {
    g_autofree char *prefix = g_strconcat(name, ".damaged-", NULL);
    g_autoptr(GDir) directory = g_dir_open(fixture->config.state_dir, 0, NULL);
    char *found = NULL;
    const char *entry;
    while ((entry = g_dir_read_name(directory)) != NULL) {
        if (g_str_has_prefix(entry, prefix)) {
            g_assert_null(found);
            found = g_build_filename(fixture->config.state_dir, entry, NULL);
        }
    }
    return found;
}

/* Refused by the check, which changes nothing; kept aside by the opening; then there is a
 * new one. */
static void assert_kept_aside(Fixture *fixture, const char *name, guint64 bytes) {
    g_autofree char *path = g_build_filename(fixture->config.state_dir, name, NULL);
    g_autoptr(GError) check_error = NULL;
    g_autoptr(GError) open_error = NULL;
    DinvStateFindings state = {0};
    g_assert_false(dinv_state_check(&fixture->config, &state, fixture->warnings, &check_error));
    g_assert_error(check_error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED);
    g_assert_cmpuint(size_of(path), ==, bytes);
    g_assert_null(dinv_state_open(&fixture->config, &open_error));
    g_assert_error(open_error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED);
    g_test_message("%s", open_error->message);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_autofree char *kept = find_kept(fixture, name);
    g_assert_nonnull(kept);
    g_assert_nonnull(strstr(open_error->message, kept));
    g_assert_cmpuint(size_of(kept), ==, bytes);
    dinv_state_free(open_good(fixture));
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_ptr_array_set_size(fixture->warnings, 0);
    g_assert_true(dinv_state_check(&fixture->config, &state, fixture->warnings, NULL));
    g_assert_cmpuint(fixture->warnings->len, >=, 1);
    g_assert_nonnull(strstr(fixture->warnings->pdata[0], kept));
}

static void test_truncated(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_state_free(open_good(fixture));
    g_assert_cmpint(truncate(fixture->image, 1 << 20), ==, 0);
    assert_kept_aside(fixture, "data.img", 1 << 20);
}

static void test_no_ext4(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_state_free(open_good(fixture));
    scratch_write(&fixture->scratch, "deep/state/data.img", "not ext4");
    assert_kept_aside(fixture, "data.img", 8);
}

/* The disks of one directory are not to be mixed up. */
static void test_wrong_label(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *volume = scratch_path(&fixture->scratch, "deep/state/volume.img");
    fixture->config.volume_path = g_strdup("/volume");
    fixture->config.volume_bytes = 1 * GIBI;
    dinv_state_free(open_good(fixture));
    g_assert_cmpint(rename(fixture->image, volume), ==, 0);
    assert_kept_aside(fixture, "volume.img", 2 * GIBI);
}

/* Where dinv has never been, nothing is renamed. */
static void test_somebody_elses(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *lock = scratch_path(&fixture->scratch, "deep/state/lock");
    g_autoptr(GError) error = NULL;
    scratch_write(&fixture->scratch, "deep/state/data.img", "not ext4");
    g_assert_null(dinv_state_open(&fixture->config, &error));
    g_assert_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IMAGE);
    g_assert_cmpint(unlink(lock), ==, 0);
    g_autofree char *message = assert_refused(fixture, DINV_STATE_ERROR_IMAGE);
    g_assert_nonnull(strstr(message, "move it out of the way"));
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(fixture->image, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "not ext4");
}

/* Each gets a name of its own, however many there are in a second. */
static void test_keep_several(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < 4; i++) {
        g_autoptr(DinvState) disk = open_good(fixture);
        g_autoptr(GError) error = NULL;
        char *kept = dinv_state_keep_aside(disk, DINV_STATE_DISK_DATA, &error);
        g_assert_no_error(error);
        g_assert_true(g_file_test(kept, G_FILE_TEST_IS_REGULAR));
        g_assert_true(g_hash_table_add(names, kept));
        g_assert_false(g_file_test(fixture->image, G_FILE_TEST_EXISTS));
    }
}

static void test_volume(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *path = scratch_path(&fixture->scratch, "deep/state/volume.img");
    DinvState *disk = open_good(fixture);
    DinvExt4ImageInfo info;
    g_assert_null(dinv_state_get_image(disk, DINV_STATE_DISK_VOLUME));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    dinv_state_free(disk);
    fixture->config.volume_path = g_strdup("/volume");
    fixture->config.volume_bytes = 1 * GIBI;
    disk = open_good(fixture);
    g_assert_cmpstr(dinv_state_get_image(disk, DINV_STATE_DISK_VOLUME), ==, path);
    dinv_state_free(disk);
    g_assert_true(dinv_ext4_image_check_disk(path, DINV_EXT4_IMAGE_VOLUME, &info, NULL));
    g_assert_cmpuint(info.filesystem_bytes, ==, 1 * GIBI);
    fixture->config.volume_bytes = 2 * GIBI;
    dinv_state_free(open_good(fixture));
    g_assert_cmpuint(size_of(path), ==, 2 * GIBI);
}

static void test_image_is_directory(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(g_mkdir_with_parents(fixture->image, 0755), ==, 0);
    g_free(assert_refused(fixture, DINV_STATE_ERROR_IMAGE));
}

/* A link could lead the disk out of the directory that is locked. */
static void test_image_is_link(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "deep/state/lock", "");
    g_assert_cmpint(symlink("/dev/null", fixture->image), ==, 0);
    g_free(assert_refused(fixture, DINV_STATE_ERROR_IMAGE));
}

static void test_file_in_the_way(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "deep", "a file");
    g_free(assert_refused(fixture, DINV_STATE_ERROR_FAILED));
}

#define ADD(name, function) g_test_add("/disk/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("new", test_new);
    ADD("check", test_check);
    ADD("again", test_again);
    ADD("grow", test_grow);
    ADD("never-shrink", test_never_shrink);
    ADD("lock/held", test_locked);
    ADD("lock/killed-holder", test_killed_holder);
    ADD("lock/strange-holder", test_strange_holder);
    ADD("image/truncated", test_truncated);
    ADD("image/no-ext4", test_no_ext4);
    ADD("image/wrong-label", test_wrong_label);
    ADD("image/somebody-elses", test_somebody_elses);
    ADD("keep-several", test_keep_several);
    ADD("volume", test_volume);
    ADD("image/directory", test_image_is_directory);
    ADD("image/link", test_image_is_link);
    ADD("file-in-the-way", test_file_in_the_way);
    return g_test_run();
}

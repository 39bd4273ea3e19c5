/* SPDX-License-Identifier: MIT */
/* When the state directory is in a volume at /var/lib/docker. */
#include "launcher/state/choice.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

#define PLAIN  "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define VOLUME PLAIN "2 1 8:1 /v/_data /var/lib/docker rw - ext4 /dev/sda1 rw\n"

#define NOBODY 65534

typedef struct {
    Scratch scratch;
    DinvConfig config;
    char *usual;
    char *in_volume;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    fixture->usual = scratch_path(&fixture->scratch, "var/lib/dinv");
    fixture->in_volume = scratch_path(&fixture->scratch, "var/lib/docker/dinv");
    fixture->config.state_dir = g_strdup(fixture->usual);
    scratch_write(&fixture->scratch, "proc/self/mountinfo", VOLUME);
    scratch_write(&fixture->scratch, "var/lib/docker/lost+found/x", "");
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_free(fixture->usual);
    g_free(fixture->in_volume);
    g_free(fixture->config.state_dir);
    g_clear_pointer(&fixture->config.notes, g_ptr_array_unref);
    scratch_remove(&fixture->scratch);
}

static void assert_chosen(Fixture *fixture, const char *expected, guint notes) {
    dinv_state_choose(&fixture->config, fixture->scratch.path);
    g_assert_cmpstr(fixture->config.state_dir, ==, expected);
    g_assert_cmpuint(fixture->config.notes != NULL ? fixture->config.notes->len : 0, ==, notes);
}

static void test_volume(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    assert_chosen(fixture, fixture->in_volume, 1);
    g_assert_false(g_file_test(fixture->in_volume, G_FILE_TEST_EXISTS)); /* nothing is made */
}

static void test_no_volume(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "proc/self/mountinfo", PLAIN);
    assert_chosen(fixture, fixture->usual, 0);
    scratch_write(&fixture->scratch, "proc/self/mountinfo", "nonsense");
    assert_chosen(fixture, fixture->usual, 0);
}

static void test_given(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config.state_dir_given = TRUE;
    assert_chosen(fixture, fixture->usual, 0);
}

static void test_disk_is_there(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "var/lib/dinv/data.img", "");
    assert_chosen(fixture, fixture->usual, 1);
}

static void test_foreign_data(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "var/lib/docker/overlay2/l/x", "");
    assert_chosen(fixture, fixture->in_volume, 2);
    g_assert_nonnull(strstr(fixture->config.notes->pdata[1],
                            "has data of another Docker engine (overlay2), which stays as it is"));
}

static void test_read_only(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *volume = scratch_path(&fixture->scratch, "var/lib/docker");
    g_assert_cmpint(g_chmod(fixture->scratch.path, 0755), ==, 0);
    g_assert_cmpint(g_chmod(volume, 0555), ==, 0);
    /* In a child, which can become a user for whom the mode counts: root may write everywhere. */
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0) {
            _exit(1);
        }
        assert_chosen(fixture, fixture->usual, 1);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(g_chmod(volume, 0755), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/state-choice/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("volume", test_volume);
    ADD("no-volume", test_no_volume);
    ADD("given", test_given);
    ADD("disk-is-there", test_disk_is_there);
    ADD("foreign-data", test_foreign_data);
    ADD("read-only", test_read_only);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Files that are rewritten, replaced, made later, or known by two names. */
#include "launcher/base/file-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

typedef struct {
    Scratch scratch;
    char *path;
    DinvFileWatch *watch;
    guint changes;
} Fixture;

static void on_changed(guint index, gpointer user) {
    Fixture *fixture = user;
    g_assert_cmpuint(index, ==, 1);
    fixture->changes++;
}

static void wait_for_change(Fixture *fixture) {
    wait_until(fixture->changes > 0);
    fixture->changes = 0;
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    scratch_write(&fixture->scratch, "file", "old\n");
    fixture->path = scratch_path(&fixture->scratch, "file");
    const char *const paths[] = {"/nonexistent/dinv", fixture->path, NULL};
    fixture->watch = dinv_file_watch_new(paths, on_changed, fixture);
    g_autoptr(DinvFileWatchPath) missing = dinv_file_watch_get_path(fixture->watch, 0);
    g_autoptr(DinvFileWatchPath) path = dinv_file_watch_get_path(fixture->watch, 1);
    g_assert_cmpint(dinv_file_watch_path_renew(missing), ==, ENOENT);
    g_assert_cmpint(dinv_file_watch_path_renew(path), ==, 0);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_file_watch_free(fixture->watch);
    g_free(fixture->path);
    scratch_remove(&fixture->scratch);
}

/* As Docker changes a resolv.conf, which is a bind mount. */
static void rewrite(Fixture *fixture, const char *text) {
    int fd = open(fixture->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(fd);
}

static void test_rewritten(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    rewrite(fixture, "new\n");
    wait_for_change(fixture);
    rewrite(fixture, "newer\n");
    wait_for_change(fixture);
}

/* By rename, twice: the second time it is another file than was there at first. */
static void test_replaced(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "file", "new\n");
    wait_for_change(fixture);
    scratch_write(&fixture->scratch, "file", "newer\n");
    wait_for_change(fixture);
    rewrite(fixture, "newest\n");
    wait_for_change(fixture);
}

static void test_made_later(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(g_remove(fixture->path), ==, 0);
    wait_for_change(fixture);
    scratch_write(&fixture->scratch, "file", "again\n");
    dinv_file_watch_renew(fixture->watch);
    rewrite(fixture, "new\n");
    wait_for_change(fixture);
}

static void test_once_for_many_writes(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    for (guint i = 0; i < 100; i++) {
        rewrite(fixture, "newer\n");
    }
    wait_for_change(fixture);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpuint(fixture->changes, ==, 0);
}

/* Two paths of one file, of which one becomes another file: the watch of the other one stays. */
static void count_both(guint index, gpointer user) {
    ((guint *)user)[index]++;
}

static void test_two_names(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *name = scratch_path(&fixture->scratch, "name");
    g_assert_cmpint(link(fixture->path, name), ==, 0);
    const char *const paths[] = {fixture->path, name, NULL};
    guint changes[2] = {0};
    g_autoptr(DinvFileWatch) watch = dinv_file_watch_new(paths, count_both, changes);
    rewrite(fixture, "both\n");
    wait_until(changes[0] > 0 && changes[1] > 0);
    scratch_write(&fixture->scratch, "new", "another file\n");
    g_autofree char *new_name = scratch_path(&fixture->scratch, "new");
    g_assert_cmpint(g_rename(new_name, name), ==, 0);
    dinv_file_watch_renew(watch);
    changes[0] = changes[1] = 0;
    rewrite(fixture, "one\n");
    wait_until(changes[0] > 0);
}

/* One whose owner looks the paths up: nothing is seen before that, and all after it. */
static void test_passive(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    guint changes[1] = {0};
    const char *const paths[] = {fixture->path, NULL};
    DinvFileWatch *watch = dinv_file_watch_new_passive(paths, count_both, changes);
    g_autoptr(DinvFileWatchPath) path = dinv_file_watch_get_path(watch, 0);
    rewrite(fixture, "new\n");
    wait_for_change(fixture); /* which the other watch has seen */
    g_assert_cmpuint(changes[0], ==, 0);
    g_assert_cmpint(dinv_file_watch_path_renew(path), ==, 0);
    rewrite(fixture, "newer\n");
    wait_until(changes[0] > 0);
    /* Replaced: the new file is not watched before it is looked up. */
    scratch_write(&fixture->scratch, "file", "another\n");
    changes[0] = 0;
    wait_until(changes[0] > 0);
    g_assert_cmpint(dinv_file_watch_path_renew(path), ==, 0);
    changes[0] = 0;
    rewrite(fixture, "newest\n");
    wait_until(changes[0] > 0);
    dinv_file_watch_free(watch);
    g_assert_cmpint(dinv_file_watch_path_renew(path), ==, 0); /* as a thread that comes late does */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/file-watch/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("rewritten", test_rewritten);
    ADD("replaced", test_replaced);
    ADD("made-later", test_made_later);
    ADD("once-for-many-writes", test_once_for_many_writes);
    ADD("two-names", test_two_names);
    ADD("passive", test_passive);
    return g_test_run();
}

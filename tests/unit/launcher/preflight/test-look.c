/* SPDX-License-Identifier: MIT */
/* A path that answers, one that is not there, and one whose file system hangs. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "launcher/preflight/look.h"

#define HANGING "/dinv-test-of-a-file-system-that-hangs"

static GMutex lock;
static GCond changed;
static gboolean is_released;
static guint returned;

/* Instead of the C library's, in the whole program; the parameters have its names. */
int stat(const char *file, struct stat *buf) {
    if (g_strcmp0(file, HANGING) != 0) {
        return fstatat(AT_FDCWD, file, buf, 0);
    }
    g_mutex_lock(&lock);
    while (!is_released) {
        g_cond_wait(&changed, &lock);
    }
    returned++;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
    errno = ESTALE;
    return -1;
}

static void look_at(const char *path, DinvPlanMountFinding *found) {
    DinvMountSpec spec = {.source = (char *)path, .target = (char *)"/t"};
    *found = (DinvPlanMountFinding){0};
    dinv_preflight_look(&spec, g_get_monotonic_time() + 30 * G_TIME_SPAN_SECOND, found);
    g_assert_cmpstr(found->spec->source, ==, path);
}

static void finding_clear(DinvPlanMountFinding *found) {
    dinv_mount_spec_free(found->spec);
    g_free(found->resolved);
}

static void test_answers(void) {
    DinvPlanMountFinding found;
    look_at("/", &found);
    g_assert_cmpint(found.error, ==, 0);
    g_assert_true(S_ISDIR(found.mode));
    g_assert_true(found.is_readable);
    g_assert_cmpstr(found.resolved, ==, "/");
    finding_clear(&found);
    look_at("/no such thing", &found);
    g_assert_cmpint(found.error, ==, ENOENT);
    g_assert_cmpstr(found.resolved, ==, "/no such thing");
    finding_clear(&found);
}

/* The caller goes on, and what the thread does later harms nobody. */
static void test_hangs(void) {
    DinvMountSpec spec = {.source = (char *)HANGING, .target = (char *)"/t"};
    DinvPlanMountFinding found = {0};
    dinv_preflight_look(&spec, g_get_monotonic_time(), &found);
    g_assert_cmpint(found.error, ==, ETIMEDOUT);
    g_assert_cmpstr(found.resolved, ==, HANGING);
    finding_clear(&found);
    g_mutex_lock(&lock);
    is_released = TRUE;
    g_cond_broadcast(&changed);
    while (returned == 0) {
        g_cond_wait(&changed, &lock);
    }
    g_mutex_unlock(&lock);
    look_at("/", &found);
    g_assert_cmpint(found.error, ==, 0);
    finding_clear(&found);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/preflight/look/answers", test_answers);
    g_test_add_func("/preflight/look/hangs", test_hangs);
    return g_test_run();
}

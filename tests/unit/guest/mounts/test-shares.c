/* SPDX-License-Identifier: MIT */
/* The shares of the launcher, on a kernel (a fake of its mount) that lacks an option. */
#include "guest/mounts/shares.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "guest/base/log.h"
#include "tests/unit/lib/scratch.h"

#define OPTIONS  "msize=512000,cache=revalidate"
#define FALLBACK "msize=512000,cache=mmap"

typedef struct {
    Scratch scratch;
    char *files;
    DinvMountsShares *shares;
    GString *log;
} Fixture;

static bool kernel_is_ours;
static GString *mounted; /* what the fake was asked for with success */

static int fake_mount(const char *source, const char *target G_GNUC_UNUSED,
                      const char *type G_GNUC_UNUSED, unsigned long flags G_GNUC_UNUSED,
                      const void *data) {
    const char *options = data;
    if (options != NULL && !kernel_is_ours && strstr(options, "cache=revalidate") != NULL) {
        errno = EINVAL;
        return -1;
    }
    g_autofree char *name = g_path_get_basename(source);
    g_string_append_printf(mounted, "%s:%s ", name,
                           options == NULL                         ? "bound"
                           : strstr(options, "cache=mmap") != NULL ? "mmap"
                                                                   : "revalidate");
    return 0;
}

static void hear_log(void *user, DinvGuestLogLevel level, const char *text) {
    Fixture *fixture = user;
    g_assert_cmpint(level, ==, DINV_LOG_WARNING);
    g_string_append_printf(fixture->log, "%s\n", text);
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    fixture->files = scratch_path(&fixture->scratch, "files");
    fixture->log = g_string_new(NULL);
    mounted = g_string_new(NULL);
    kernel_is_ours = false;
    const DinvMountsSharesOptions options = {fake_mount, fixture->files};
    fixture->shares = dinv_mounts_shares_new(&options);
    g_assert_nonnull(fixture->shares);
    dinv_guest_log_set_sink(hear_log, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_guest_log_set_sink(NULL, NULL);
    dinv_mounts_shares_free(fixture->shares);
    g_string_free(fixture->log, TRUE);
    g_string_free(g_steal_pointer(&mounted), TRUE);
    g_free(fixture->files);
    scratch_remove(&fixture->scratch);
}

/* One of the mounts below; its target is to be freed. */
static DinvMountConfiguration make_mount(Fixture *fixture, const char *tag, const char *file,
                                         const char *target) {
    return (DinvMountConfiguration){
        .driver = (char *)"9p",
        .tag = (char *)tag,
        .file = (char *)file,
        .target = scratch_path(&fixture->scratch, target),
        .options = (char *)OPTIONS,
        .fallback_options = (char *)FALLBACK,
    };
}

/* Two directories, the second of which any kernel can mount, and two files of one share. */
static void mount_all(Fixture *fixture) {
    DinvMountConfiguration mounts[] = {
        make_mount(fixture, "dinv0", NULL, "a"),
        make_mount(fixture, "dinv1", NULL, "b"),
        make_mount(fixture, "dinv-files", "2", "c"),
        make_mount(fixture, "dinv-files", "3", "d"),
    };
    size_t failed = 77;
    mounts[1].options = (char *)"msize=512000";
    g_assert_cmpint(
        dinv_mounts_shares_mount(fixture->shares, mounts, G_N_ELEMENTS(mounts), &failed), ==, 0);
    g_assert_cmpuint(failed, ==, 77);
    for (gsize i = 0; i < G_N_ELEMENTS(mounts); i++) {
        g_free(mounts[i].target);
    }
}

static guint count_lines(const Fixture *fixture) {
    guint lines = 0;
    for (const char *at = fixture->log->str; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    return lines;
}

static void test_fallback(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *names = g_strdup_printf("3 (%s/a, %s/c, %s/d)", fixture->scratch.path,
                                             fixture->scratch.path, fixture->scratch.path);
    mount_all(fixture);
    g_assert_cmpstr(mounted->str, ==,
                    "dinv0:mmap dinv1:revalidate dinv-files:mmap 2:bound dinv-files:mmap 3:bound ");
    g_assert_cmpuint(dinv_mounts_shares_count_fallbacks(fixture->shares), ==, 3);
    g_assert_cmpuint(count_lines(fixture), ==, 1);
    g_assert_nonnull(strstr(fixture->log->str, "\"" OPTIONS "\""));
    g_assert_nonnull(strstr(fixture->log->str, "\"" FALLBACK "\""));
    g_assert_nonnull(strstr(fixture->log->str, names));
    /* `configure` again: what has been said is not said again, but still holds. */
    mount_all(fixture);
    g_assert_cmpuint(count_lines(fixture), ==, 1);
    g_assert_cmpuint(dinv_mounts_shares_count_fallbacks(fixture->shares), ==, 3);
}

static void test_our_kernel(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    kernel_is_ours = true;
    mount_all(fixture);
    g_assert_cmpuint(dinv_mounts_shares_count_fallbacks(fixture->shares), ==, 0);
    g_assert_cmpstr(fixture->log->str, ==, "");
}

/* Of many targets the log names those that there is room for. */
static void test_many(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvMountConfiguration mounts[100];
    char tags[G_N_ELEMENTS(mounts)][16];
    size_t failed = 0;
    for (guint i = 0; i < G_N_ELEMENTS(mounts); i++) {
        (void)g_snprintf(tags[i], sizeof tags[i], "dinv%u", i);
        mounts[i] = make_mount(fixture, tags[i], NULL, tags[i]);
    }
    g_assert_cmpint(
        dinv_mounts_shares_mount(fixture->shares, mounts, G_N_ELEMENTS(mounts), &failed), ==, 0);
    g_assert_cmpuint(dinv_mounts_shares_count_fallbacks(fixture->shares), ==, 100);
    g_assert_cmpuint(count_lines(fixture), ==, 1);
    g_assert_nonnull(strstr(fixture->log->str, ": 100 ("));
    for (guint i = 0; i < G_N_ELEMENTS(mounts); i++) {
        g_free(mounts[i].target);
    }
}

/* Without other options to try, the error is told, with the mount that it is of. */
static void test_failure(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    DinvMountConfiguration mounts[] = {
        make_mount(fixture, "dinv0", NULL, "a"),
        make_mount(fixture, "dinv1", NULL, "b"),
    };
    size_t failed = 77;
    mounts[1].fallback_options = NULL;
    g_assert_cmpint(
        dinv_mounts_shares_mount(fixture->shares, mounts, G_N_ELEMENTS(mounts), &failed), ==,
        -EINVAL);
    g_assert_cmpuint(failed, ==, 1);
    g_assert_cmpuint(dinv_mounts_shares_count_fallbacks(fixture->shares), ==, 1);
    g_free(mounts[0].target);
    g_free(mounts[1].target);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/guest/shares/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("fallback", test_fallback);
    ADD("our-kernel", test_our_kernel);
    ADD("many", test_many);
    ADD("failure", test_failure);
    return g_test_run();
}

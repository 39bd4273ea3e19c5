/* SPDX-License-Identifier: MIT */
/* What the self-test of User-Mode Linux concludes. A small program plays the kernel. */
#include "launcher/machine/uml/probe.h"

#include <signal.h>
#include <string.h>

#include <glib/gstdio.h>

#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
    DinvConfig config;
    DinvUmlVerdict verdict;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_make(&fixture->scratch);
    fixture->config = (DinvConfig){.uml_kernel = scratch_path(&fixture->scratch, "linux"),
                                   .rootfs = scratch_path(&fixture->scratch, "rootfs.ext4")};
    scratch_write(&fixture->scratch, "rootfs.ext4", "root\n");
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_uml_verdict_clear(&fixture->verdict);
    g_free(fixture->config.uml_kernel);
    g_free(fixture->config.rootfs);
    scratch_remove(&fixture->scratch);
}

/* `words` are for fake-kernel.c. */
static void probe(Fixture *fixture, const char *words) {
    g_free(fixture->config.uml_kernel);
    fixture->config.uml_kernel = g_test_build_filename(G_TEST_BUILT, "fake-kernel", NULL);
    g_setenv("DINV_FAKE_KERNEL", words, TRUE);
    dinv_uml_verdict_clear(&fixture->verdict);
    dinv_uml_probe(&fixture->config, &fixture->verdict);
}

static void test_missing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_uml_probe(&fixture->config, &fixture->verdict);
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_MISSING);
    g_assert_true(g_str_has_prefix(fixture->verdict.text, "DINV_UML_KERNEL: \"/"));
    g_assert_true(g_str_has_suffix(fixture->verdict.text, "/linux\" does not exist"));
    g_assert_nonnull(fixture->verdict.remedy);
}

static void test_no_root_image(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(g_unlink(fixture->config.rootfs), ==, 0);
    probe(fixture, "");
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_BROKEN);
    g_assert_true(g_str_has_prefix(fixture->verdict.text, "DINV_ROOTFS: \""));
}

/* It has the root image and the console, by the numbers that it is told. */
static void test_works(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    probe(fixture, "given;mode=on");
    g_assert_cmpstr(fixture->verdict.text, ==, "User-Mode Linux works (seccomp)");
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_WORKS);
    g_assert_null(fixture->verdict.remedy);
    g_assert_false(fixture->verdict.opens_files);
    g_assert_nonnull(strstr(fixture->verdict.confinement, "seccomp"));
    g_assert_true(g_str_has_suffix(fixture->verdict.confinement, ",descriptors"));
    fixture->config.uml = DINV_UML_PTRACE;
    probe(fixture, "given;mode=off");
    g_assert_cmpstr(fixture->verdict.text, ==, "User-Mode Linux works (ptrace)");
}

/* A kernel without the patch that takes descriptors for names. */
static void test_opens(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    probe(fixture, "given;opens");
    g_assert_cmpstr(fixture->verdict.text, ==, "User-Mode Linux works (seccomp)");
    g_assert_true(fixture->verdict.opens_files);
    g_assert_false(g_str_has_suffix(fixture->verdict.confinement, ",descriptors"));
}

static void test_no_program(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "linux", "no program\n");
    g_assert_cmpint(g_chmod(fixture->config.uml_kernel, 0755), ==, 0);
    dinv_uml_probe(&fixture->config, &fixture->verdict);
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_BROKEN);
    g_assert_true(g_str_has_prefix(fixture->verdict.text, "DINV_UML_KERNEL: \"/"));
    g_assert_true(
        g_str_has_suffix(fixture->verdict.text, "/linux\" cannot be started: Exec format error"));
}

/* What the kernel says as a program, as one that panics, and one that says nothing. */
static void test_broken(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    probe(fixture, "say=first;say=ptrace: Operation not permitted;exit=1");
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_BROKEN);
    g_assert_cmpstr(fixture->verdict.text, ==,
                    "User-Mode Linux (seccomp) does not work: ptrace: Operation not permitted "
                    "(ended with status 1)");
    g_assert_nonnull(strstr(fixture->verdict.remedy, "DINV_UML=ptrace"));
    probe(fixture, "signal=6");
    g_assert_cmpstr(fixture->verdict.text, ==,
                    "User-Mode Linux (seccomp) does not work: killed by signal 6");
}

static void test_panic(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvUmlObservation seen = {
        .wait_status = SIGABRT,
        .error = "noise\n",
        .console = "[ 0.1] Kernel panic - not syncing: VFS: no root\n[ 0.1] CPU: 0 PID: 1\n"};
    dinv_uml_interpret(&fixture->config, &seen, &fixture->verdict);
    g_assert_cmpstr(fixture->verdict.text, ==,
                    "User-Mode Linux (seccomp) does not work: VFS: no root (killed by signal 6)");
}

static void test_hangs(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const DinvUmlObservation seen = {.timed_out = TRUE, .error = "", .console = ""};
    dinv_uml_interpret(&fixture->config, &seen, &fixture->verdict);
    g_assert_cmpint(fixture->verdict.kind, ==, DINV_UML_BROKEN);
    g_assert_nonnull(strstr(fixture->verdict.text, "it had not ended after 10 s"));
}

#define PROBE_TEST(name, function)                                                                 \
    g_test_add("/launcher/machine/uml/probe/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PROBE_TEST("missing", test_missing);
    PROBE_TEST("no-root-image", test_no_root_image);
    PROBE_TEST("works", test_works);
    PROBE_TEST("opens", test_opens);
    PROBE_TEST("no-program", test_no_program);
    PROBE_TEST("broken", test_broken);
    PROBE_TEST("panic", test_panic);
    PROBE_TEST("hangs", test_hangs);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* The check of the program QEMU, with programs that answer in its place. */
#include "launcher/preflight/checks.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_qemu_missing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    assert_failed(fixture, "qemu", "\"no-such-qemu\" is not a program");
    g_assert_cmpuint(fixture->result.findings.qemu_major, ==, 0);
}

static void test_qemu_old(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->qemu, "echo QEMU emulator version 7.1.0");
    assert_failed(fixture, "qemu", "version 7.1, too old");
}

static void test_qemu_other(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->qemu, "echo hello");
    assert_failed(fixture, "qemu", "does not say which QEMU it is");
    write_program(fixture->config->qemu, "exit 1");
    assert_failed(fixture, "qemu", "does not say which QEMU it is");
    write_program(fixture->config->qemu, "yes QEMU emulator version 8.0");
    g_assert_true(run(fixture)); /* its endless answer is cut off */
    write_bytes(fixture->config->qemu,
                "\x7f"
                "ELF",
                4);
    assert_failed(fixture, "qemu", "");
}

static void test_qemu_version_text(void) {
    guint major = 0;
    guint minor = 0;
    g_assert_true(dinv_preflight_parse_qemu_version("QEMU emulator version 10.0", &major, &minor));
    g_assert_cmpuint(major, ==, 10);
    g_assert_cmpuint(minor, ==, 0);
    g_assert_false(dinv_preflight_parse_qemu_version("", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version ", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version 8", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version 8.x", &major, &minor));
    g_assert_false(dinv_preflight_parse_qemu_version("QEMU emulator version -8.1", &major, &minor));
    g_assert_false(
        dinv_preflight_parse_qemu_version("QEMU emulator version 70000.1", &major, &minor));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("qemu/missing", test_qemu_missing);
    PREFLIGHT_TEST("qemu/old", test_qemu_old);
    PREFLIGHT_TEST("qemu/other", test_qemu_other);
    g_test_add_func("/preflight/qemu/version-text", test_qemu_version_text);
    return g_test_run();
}

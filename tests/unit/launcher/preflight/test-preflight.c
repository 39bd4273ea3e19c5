/* SPDX-License-Identifier: MIT */
/* Preflight as a whole: all is well, or all that is not is listed. */
#include "tests/unit/lib/preflight-fixture.h"

static void test_good(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_true(run(fixture));
    for (guint i = 0; i < fixture->result.report->lines->len; i++) {
        const DinvPreflightLine *line = fixture->result.report->lines->pdata[i];
        g_test_message("%s: %s", line->name, line->text);
        g_assert_true(line->status == DINV_PREFLIGHT_OK ||
                      strcmp(line->name, "state directory") == 0);
    }
    g_assert_cmpuint(fixture->result.findings.qemu_major, ==, 9);
    g_assert_cmpuint(fixture->result.findings.qemu_minor, ==, 1);
    g_assert_cmpint(fixture->plan->machine.accel, ==, DINV_MACHINE_TCG);
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(fixture->config->socket_path, G_FILE_TEST_EXISTS));
}

/* All findings are listed, not only the first. */
static void test_all_findings(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_cmpint(g_unlink(fixture->config->kernel), ==, 0);
    assert_failed(fixture, "qemu", "no-such-qemu");
    g_assert_nonnull(find_line(fixture, "kernel", DINV_PREFLIGHT_FAILED));
    g_assert_nonnull(find_line(fixture, "root image", DINV_PREFLIGHT_OK));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("good", test_good);
    PREFLIGHT_TEST("all-findings", test_all_findings);
    return g_test_run();
}

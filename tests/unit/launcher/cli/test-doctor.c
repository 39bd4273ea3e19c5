/* SPDX-License-Identifier: MIT */
/* What `dinv doctor` prints. */
#include <stdio.h>

#include "launcher/cli/doctor.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_doctor(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    fixture->config->accel = DINV_ACCEL_AUTO;
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_false(run(fixture));
    dinv_cli_doctor_print(fixture->result.report, stream);
    g_assert_cmpint(fclose(stream), ==, 0);
    g_assert_nonnull(strstr(text, "!!  qemu"));
    g_assert_nonnull(strstr(text, "OK  kernel"));
    g_assert_nonnull(strstr(text, "--  acceleration"));
    g_assert_nonnull(strstr(text, "remedy: install it (Debian: qemu-system-x86)"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("doctor", test_doctor);
    return g_test_run();
}

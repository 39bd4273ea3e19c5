/* SPDX-License-Identifier: MIT */
/* The check of the state directory, and what a damaged disk in it comes to. */
#include "launcher/state/directory.h"
#include "tests/unit/lib/preflight-fixture.h"

static void test_state_dir(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autoptr(DinvState) disk = dinv_state_open(fixture->config, NULL);
    g_assert_nonnull(disk);
    g_assert_false(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, "state directory", DINV_PREFLIGHT_FAILED);
    g_assert_nonnull(strstr(line->text, "is in use by another dinv"));
    g_assert_nonnull(strstr(line->remedy, "DINV_STATE_DIR"));
}

/* `run` leaves it to dinv_state_open(), unless something else is wrong as well. */
static void test_damaged_disk(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *image = g_build_filename(fixture->config->state_dir, "data.img", NULL);
    g_autoptr(GError) error = NULL;
    dinv_state_free(dinv_state_open(fixture->config, NULL));
    g_assert_true(g_file_set_contents(image, "damage", -1, NULL));
    g_assert_false(dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &error));
    g_assert_error(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_DISK);
    g_assert_nonnull(find_line(fixture, "state directory", DINV_PREFLIGHT_FAILED));
    g_clear_error(&error);
    set_text(&fixture->config->qemu, g_strdup("no-such-qemu"));
    g_assert_false(dinv_preflight_on(&fixture->host, fixture->config, &fixture->result, &error));
    g_assert_error(error, DINV_PREFLIGHT_ERROR, DINV_PREFLIGHT_ERROR_FAILED);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("state-dir", test_state_dir);
    PREFLIGHT_TEST("state-dir/damaged-disk", test_damaged_disk);
    return g_test_run();
}

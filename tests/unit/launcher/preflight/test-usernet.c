/* SPDX-License-Identifier: MIT */
/* The check of the program dinv-usernet, with programs that answer in its place. */
#include <unistd.h>

#include "launcher/preflight/checks.h"
#include "tests/unit/lib/preflight-fixture.h"

#define LINE "network process"

static void test_usernet_good(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_true(run(fixture));
    g_assert_cmpstr(fixture->result.findings.usernet_features, ==,
                    "no_new_privs,capabilities,seccomp,landlock,core");
    const DinvPreflightLine *line = find_line(fixture, LINE, DINV_PREFLIGHT_OK);
    g_assert_nonnull(strstr(line->text, "/usernet, confined"));
}

/* A kernel without Landlock is no reason to warn at each start; one without seccomp is. */
static void test_usernet_unconfined(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->usernet,
                  "printf 'ready 1 no_new_privs,capabilities,seccomp,core' >&4");
    g_assert_true(run(fixture));
    const DinvPreflightLine *line = find_line(fixture, LINE, DINV_PREFLIGHT_OK);
    g_assert_nonnull(strstr(line->text, "is not confined by landlock, which is not to be had"));
    write_program(fixture->config->usernet, "printf 'ready 1 none' >&4");
    g_assert_true(run(fixture));
    line = find_line(fixture, LINE, DINV_PREFLIGHT_WARNING);
    g_assert_nonnull(strstr(line->text, "by no_new_privs, capabilities, seccomp, landlock, core, "
                                        "which are not"));
}

static void test_usernet_missing(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    set_text(&fixture->config->usernet, g_strdup("no-such-usernet"));
    assert_failed(fixture, LINE, "DINV_USERNET: \"no-such-usernet\" is not a program");
    g_assert_null(fixture->result.findings.usernet_features);
}

static void test_usernet_other(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    write_program(fixture->config->usernet, "echo libslirp.so.0 is missing >&2; exit 127");
    assert_failed(fixture, LINE, "does not start as dinv's network does: libslirp.so.0 is missing");
    write_program(fixture->config->usernet, "printf 'hello' >&4");
    assert_failed(fixture, LINE, "does not start as dinv's network does");
    write_program(fixture->config->usernet, "printf 'ready 7 none' >&4");
    assert_failed(fixture, LINE, "speaks version 7 of the protocol, this dinv version 1");
    write_bytes(fixture->config->usernet,
                "\x7f"
                "ELF",
                4);
    assert_failed(fixture, LINE, "");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    PREFLIGHT_TEST("usernet/good", test_usernet_good);
    PREFLIGHT_TEST("usernet/unconfined", test_usernet_unconfined);
    PREFLIGHT_TEST("usernet/missing", test_usernet_missing);
    PREFLIGHT_TEST("usernet/other", test_usernet_other);
    return g_test_run();
}

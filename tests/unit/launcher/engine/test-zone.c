/* SPDX-License-Identifier: MIT */
/* Which of the places that may tell of a time zone is believed. */
#include "launcher/engine/zone.h"

#include <string.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    const char *const directories[] = {"etc", "usr/share/zoneinfo/Europe"};
    for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
        g_autofree char *path = scratch_path(&fixture->scratch, directories[i]);
        g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
    }
    scratch_write(&fixture->scratch, "usr/share/zoneinfo/Europe/Berlin", "TZif of Berlin");
    scratch_write(&fixture->scratch, "usr/share/zoneinfo/zone.tab", "a table");
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_remove(&fixture->scratch);
}

static void assert_zone(Fixture *fixture, const char *tz, const char *name, const char *rules) {
    DinvEngineZone zone;
    dinv_engine_zone_read(fixture->scratch.path, tz, &zone);
    g_assert_cmpstr(zone.name, ==, name);
    g_assert_cmpuint(zone.length, >=, strlen(rules));
    g_assert_cmpint(memcmp(zone.rules, rules, strlen(rules)), ==, 0);
    dinv_engine_zone_clear(&zone);
}

static void test_nothing(Fixture *fixture, gconstpointer data) {
    (void)data;
    assert_zone(fixture, NULL, "Etc/UTC", "TZif2");
    DinvEngineZone zone;
    dinv_engine_zone_read(fixture->scratch.path, NULL, &zone);
    g_assert_cmpuint(zone.length, ==, 114); /* as `zic` makes it */
    g_assert_cmpint(memcmp(zone.rules + zone.length - 6, "\nUTC0\n", 6), ==, 0);
    dinv_engine_zone_clear(&zone);
}

static void test_variable(Fixture *fixture, gconstpointer data) {
    (void)data;
    assert_zone(fixture, "Europe/Berlin", "Europe/Berlin", "TZif of Berlin");
    assert_zone(fixture, ":Europe/Berlin", "Europe/Berlin", "TZif of Berlin");
    static const char *const wrong[] = {"",          "zone.tab", "Europe",      "../etc/passwd",
                                        "/etc/zone", "CET-1",    "Europe/Rome", "a b"};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_zone(fixture, wrong[i], "Etc/UTC", "TZif2");
    }
}

static void test_files(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *localtime = scratch_path(&fixture->scratch, "etc/localtime");
    g_assert_cmpint(symlink("../usr/share/zoneinfo/Europe/Berlin", localtime), ==, 0);
    assert_zone(fixture, NULL, "Europe/Berlin", "TZif of Berlin");
    scratch_write(&fixture->scratch, "etc/timezone", "Europe/Vienna\n");
    assert_zone(fixture, NULL, "Europe/Vienna", "TZif of Berlin");
    assert_zone(fixture, "Europe/Berlin", "Europe/Berlin", "TZif of Berlin");
    scratch_write(&fixture->scratch, "etc/timezone", "what is this?\n");
    assert_zone(fixture, NULL, "Europe/Berlin", "TZif of Berlin");
    g_assert_cmpint(unlink(localtime), ==, 0);
    scratch_write(&fixture->scratch, "etc/localtime", "no rules");
    assert_zone(fixture, NULL, "Etc/UTC", "TZif2");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/engine/zone/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("nothing", test_nothing);
    ADD("variable", test_variable);
    ADD("files", test_files);
    return g_test_run();
}

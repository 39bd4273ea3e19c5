/* SPDX-License-Identifier: MIT */
/* dockerd's log: its tail, its two files, and what cannot be written. */
#include "guest/engine/log.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *path;
    DinvEngineLog *log;
} Log;

static void log_set_up(Log *fixture, gconstpointer data) {
    (void)data;
    fixture->directory = g_dir_make_tmp("dinv-log-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->directory, "log", NULL);
    fixture->log = dinv_engine_log_new(fixture->path, 100);
    g_assert_nonnull(fixture->log);
}

static void log_tear_down(Log *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_log_free(fixture->log);
    g_autofree char *older = g_strconcat(fixture->path, ".1", NULL);
    (void)unlink(older);
    (void)unlink(fixture->path);
    g_assert_cmpint(rmdir(fixture->directory), ==, 0);
    g_free(fixture->path);
    g_free(fixture->directory);
}

static void append(Log *fixture, const char *text) {
    dinv_engine_log_append(fixture->log, text, strlen(text));
}

static void check_tail(Log *fixture, uint64_t lines, size_t max, const char *expected) {
    char *text = dinv_engine_log_get_tail(fixture->log, lines, max);
    g_assert_cmpstr(text, ==, expected);
    free(text);
}

static void test_log_tail(Log *fixture, gconstpointer data) {
    (void)data;
    check_tail(fixture, 5, 100, "");
    append(fixture, "a\nb");
    check_tail(fixture, 1, 100, "b");
    append(fixture, "b\n\nc\n");
    check_tail(fixture, 0, 100, "");
    check_tail(fixture, 1, 100, "c\n");
    check_tail(fixture, 2, 100, "\nc\n");
    check_tail(fixture, 3, 100, "bb\n\nc\n");
    check_tail(fixture, 4, 100, "a\nbb\n\nc\n");
    check_tail(fixture, 1000, 100, "a\nbb\n\nc\n");
    check_tail(fixture, 1000, 3, "\nc\n");
}

/* What is not UTF-8 is replaced, the rest stays; a cut, here or by the rotation, splits nothing. */
static void test_log_tail_is_utf8(Log *fixture, gconstpointer data) {
    (void)data;
    append(fixture, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\xff\n");
    check_tail(fixture, 1, 100, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\xef\xbf\xbd\n");
    check_tail(fixture, 1, 6, "\xf0\x9f\x90\xb3\xef\xbf\xbd\n");
    for (size_t max = 3; max < 6; max++) {
        check_tail(fixture, 1, max, "\xef\xbf\xbd\n");
    }
    for (int i = 0; i < 100; i++) {
        append(fixture, "\xe2\x82\xac");
        char *tail = dinv_engine_log_get_tail(fixture->log, 1, 5000);
        g_assert_true(g_utf8_validate(tail, -1, NULL));
        g_assert_null(
            strstr(strchr(tail, '\n') != NULL ? strchr(tail, '\n') : tail, "\xef\xbf\xbd"));
        free(tail);
    }
}

/* Against all that was ever written: the last 100 to 200 bytes of it are kept. */
static void test_log_rotation(Log *fixture, gconstpointer data) {
    (void)data;
    GString *all = g_string_new(NULL);
    for (int i = 0; i < 500; i++) {
        g_autofree char *line = g_strdup_printf("line %d of the log%s", i, i % 3 == 0 ? "" : "\n");
        append(fixture, line);
        g_string_append(all, line);
        g_assert_cmpuint(dinv_engine_log_find_tail(fixture->log, 0), ==, all->len);
        uint64_t position = 0;
        char kept[201];
        size_t len = 0;
        ssize_t got;
        while ((got = dinv_engine_log_read(fixture->log, &position, kept + len, 200 - len)) > 0) {
            len += (size_t)got;
        }
        g_assert_cmpint(got, ==, 0);
        kept[len] = '\0';
        g_assert_true(len == all->len || len >= 100);
        g_assert_cmpstr(kept, ==, all->str + all->len - len);
        g_assert_cmpuint(position, ==, all->len);
    }
    g_autofree char *big = g_strnfill(1000, 'x');
    append(fixture, big);
    g_string_append(all, big);
    char *tail = dinv_engine_log_get_tail(fixture->log, 1, 5000);
    g_assert_cmpuint(strlen(tail), >=, 100);
    g_assert_cmpuint(strlen(tail), <=, 200);
    g_assert_true(g_str_has_suffix(all->str, tail));
    free(tail);
    g_string_free(all, TRUE);
}

static void test_log_cannot_write(Log *fixture, gconstpointer data) {
    (void)data;
    /* The file that rotation needs to make is in the way of itself: a directory. */
    g_autofree char *older = g_strconcat(fixture->path, ".1", NULL);
    g_assert_cmpint(mkdir(older, 0700), ==, 0);
    g_autofree char *text = g_strnfill(150, 'x');
    append(fixture, text);
    append(fixture, text);
    g_assert_cmpuint(dinv_engine_log_find_tail(fixture->log, 0), ==, 100);
    g_assert_cmpint(rmdir(older), ==, 0);
    append(fixture, "y");
    check_tail(fixture, 1, 1, "y");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/engine-log/tail", Log, NULL, log_set_up, test_log_tail, log_tear_down);
    g_test_add("/guest/engine-log/tail-is-utf8", Log, NULL, log_set_up, test_log_tail_is_utf8,
               log_tear_down);
    g_test_add("/guest/engine-log/rotation", Log, NULL, log_set_up, test_log_rotation,
               log_tear_down);
    g_test_add("/guest/engine-log/cannot-write", Log, NULL, log_set_up, test_log_cannot_write,
               log_tear_down);
    return g_test_run();
}

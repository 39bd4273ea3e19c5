/* SPDX-License-Identifier: MIT */
/* The console's file and its last lines. */
#include "launcher/vm/console.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *path;
    int guest;
    DinvVmConsole *console;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    int fds[2];
    (void)data;
    fixture->directory = g_dir_make_tmp("dinv-console-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->directory, "console.log", NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), ==, 0);
    fixture->guest = fds[1];
    fixture->console = dinv_vm_console_new(fds[0], fixture->path, NULL);
    g_assert_nonnull(fixture->console);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_console_free(fixture->console);
    close(fixture->guest);
    g_autofree char *previous = g_strconcat(fixture->path, ".1", NULL);
    g_unlink(fixture->path);
    (void)g_unlink(previous);
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    g_free(fixture->path);
    g_free(fixture->directory);
}

static void guest_writes(Fixture *fixture, const char *text) {
    for (gsize sent = 0; sent < strlen(text);) {
        ssize_t result = write(fixture->guest, text + sent, strlen(text) - sent);
        sent += result > 0 ? (gsize)result : 0;
        dinv_vm_console_drain(fixture->console);
    }
}

static void test_tail(Fixture *fixture, gconstpointer data) {
    (void)data;
    guest_writes(fixture, "one\r\ntwo\r\nthree \033[1mbold\r\n");
    g_autofree char *two = dinv_vm_console_get_tail(fixture->console, 2);
    g_autofree char *many = dinv_vm_console_get_tail(fixture->console, 50);
    g_assert_cmpstr(two, ==, "two\nthree \\x1b[1mbold");
    g_assert_cmpstr(many, ==, "one\ntwo\nthree \\x1b[1mbold");
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(fixture->path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "one\r\ntwo\r\nthree \033[1mbold\r\n");
}

static void test_nul_does_not_end_it(Fixture *fixture, gconstpointer data) {
    static const char text[] = "a\0b\nlast";
    (void)data;
    g_assert_cmpint(write(fixture->guest, text, sizeof text - 1), ==, sizeof text - 1);
    dinv_vm_console_drain(fixture->console);
    g_autofree char *tail = dinv_vm_console_get_tail(fixture->console, 2);
    g_assert_cmpstr(tail, ==, "a b\nlast");
}

/* What a VM left that died stays readable when the container was started again. */
static void test_file_before_is_kept(Fixture *fixture, gconstpointer data) {
    int fds[2];
    (void)data;
    guest_writes(fixture, "panic\n");
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), ==, 0);
    DinvVmConsole *next = dinv_vm_console_new(fds[0], fixture->path, NULL);
    g_assert_nonnull(next);
    g_autofree char *previous = g_strconcat(fixture->path, ".1", NULL);
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(previous, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "panic\n");
    dinv_vm_console_free(next);
    close(fds[1]);
}

static void test_flood_is_bounded(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *line = g_strnfill(65535, 'x');
    line[65534] = '\n';
    for (guint i = 0; i < 256; i++) {
        guest_writes(fixture, line);
    }
    guest_writes(fixture, "last\n");
    g_autofree char *previous = g_strconcat(fixture->path, ".1", NULL);
    GStatBuf now;
    GStatBuf before;
    g_assert_cmpint(g_stat(fixture->path, &now), ==, 0);
    g_assert_cmpint(g_stat(previous, &before), ==, 0);
    g_assert_cmpint(now.st_size + before.st_size, <=, 8 << 20);
    g_autofree char *tail = dinv_vm_console_get_tail(fixture->console, 1);
    g_assert_cmpstr(tail, ==, "last");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/launcher/console/tail", Fixture, NULL, set_up, test_tail, tear_down);
    g_test_add("/launcher/console/nul-does-not-end-it", Fixture, NULL, set_up,
               test_nul_does_not_end_it, tear_down);
    g_test_add("/launcher/console/file-before-is-kept", Fixture, NULL, set_up,
               test_file_before_is_kept, tear_down);
    g_test_add("/launcher/console/flood-is-bounded", Fixture, NULL, set_up, test_flood_is_bounded,
               tear_down);
    return g_test_run();
}

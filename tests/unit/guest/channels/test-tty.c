/* SPDX-License-Identifier: MIT */
/* How a terminal is found by the kernel's command line, and what is set on it. */
#include "guest/channels/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *line;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->directory = g_dir_make_tmp("dinv-tty-XXXXXX", NULL);
    fixture->line = g_build_filename(fixture->directory, "cmdline", NULL);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *link = g_build_filename(fixture->directory, "ttyS1", NULL);
    (void)g_unlink(link);
    (void)g_unlink(fixture->line);
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    g_free(fixture->line);
    g_free(fixture->directory);
}

static int open_with(const Fixture *fixture, const char *text) {
    g_assert_true(g_file_set_contents(fixture->line, text, -1, NULL));
    return dinv_channel_tty_open(fixture->line, fixture->directory, "dinv.relay");
}

static void test_refused(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_assert_cmpint(dinv_channel_tty_open("/does/not/exist", fixture->directory, "dinv.relay"), ==,
                    -ENOENT);
    g_assert_cmpint(open_with(fixture, ""), ==, -ENOENT);
    g_assert_cmpint(open_with(fixture, "root=/dev/ubda dinv.relays=ttyS1\n"), ==, -ENOENT);
    g_assert_cmpint(open_with(fixture, "dinv.relay=ttyS1\n"), ==, -ENOENT); /* no such file */
    g_assert_cmpint(open_with(fixture, "dinv.relay=\n"), ==, -EINVAL);
    g_assert_cmpint(open_with(fixture, "dinv.relay=ttyS\n"), ==, -EINVAL);
    g_assert_cmpint(open_with(fixture, "dinv.relay=ttyS1/../ttyS0\n"), ==, -EINVAL);
    g_assert_cmpint(open_with(fixture, "dinv.relay=../cmdline\n"), ==, -EINVAL);
}

/* A pseudo-terminal plays it: what is sent comes out byte for byte, and nothing is echoed. */
static void test_raw(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const char bytes[] = "\x03\x04\r\n\x11\x13\x7f\xff{}";
    g_autofree char *link = g_build_filename(fixture->directory, "ttyS1", NULL);
    char got[sizeof bytes] = "";
    int host = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    g_assert_cmpint(grantpt(host), ==, 0);
    g_assert_cmpint(unlockpt(host), ==, 0);
    g_assert_cmpint(symlink(ptsname(host), link), ==, 0);
    int guest = open_with(fixture, "dinv.relay=ttyS7 x=y dinv.relay=ttyS1 quiet\n");
    g_assert_cmpint(guest, >=, 0);
    g_assert_cmpint(fcntl(guest, F_GETFL) & O_NONBLOCK, !=, 0);
    g_assert_cmpint(fcntl(guest, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(write(host, bytes, sizeof bytes), ==, sizeof bytes);
    g_assert_cmpint(read(guest, got, sizeof got), ==, sizeof bytes);
    g_assert_cmpint(memcmp(got, bytes, sizeof bytes), ==, 0);
    g_assert_cmpint(read(host, got, sizeof got), <, 0); /* no echo */
    g_assert_cmpint(write(guest, bytes, sizeof bytes), ==, sizeof bytes);
    g_assert_cmpint(read(host, got, sizeof got), ==, sizeof bytes);
    g_assert_cmpint(memcmp(got, bytes, sizeof bytes), ==, 0);
    close(guest);
    close(host);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/channels/tty/refused", Fixture, NULL, set_up, test_refused, tear_down);
    g_test_add("/guest/channels/tty/raw", Fixture, NULL, set_up, test_raw, tear_down);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* dockerd's log in a file, or in a pipe that nobody reads. */
#include "launcher/vm/engine-log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/lib/scratch.h"
#include "tests/unit/lib/wait-until.h"

#define FLOOD_BYTES ((gsize)(4u << 20))

static int guest = -1; /* the other end of the bridge */

/* Takes the place of that in launcher/vm/relay.c: the test is the guest's log service. */
gboolean dinv_vm_relay_bridge(DinvVmRelay *host, const char *service, const void *argument,
                              gsize argument_length, int client_fd, GError **error) {
    (void)host;
    (void)argument;
    (void)argument_length;
    (void)error;
    g_assert_cmpstr(service, ==, "log");
    guest = client_fd;
    return TRUE;
}

typedef struct {
    Scratch scratch;
    char *path;
    DinvVmEngineLog *log;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    fixture->path = scratch_path(&fixture->scratch, "docker.log");
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    dinv_vm_engine_log_free(fixture->log);
    close(guest);
    g_free(fixture->path);
    scratch_remove(&fixture->scratch);
}

static void follow(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    fixture->log = dinv_vm_engine_log_new(fixture->path, &error);
    g_assert_no_error(error);
    dinv_vm_engine_log_follow(fixture->log, NULL);
}

static gboolean has_text(const Fixture *fixture, const char *expected) {
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(fixture->path, &text, NULL, NULL));
    return strcmp(text, expected) == 0;
}

static void test_file(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_write(&fixture->scratch, "docker.log", "of the start before\n");
    follow(fixture);
    g_assert_cmpint(write(guest, "one\n", 4), ==, 4);
    wait_until(has_text(fixture, "one\n"));
    g_assert_cmpint(write(guest, "two\n", 4), ==, 4);
    wait_until(has_text(fixture, "one\ntwo\n"));
}

/* Sends as much of the pattern as is taken; the loop goes on meanwhile, or this does not return. */
static gsize flood(gsize sent) {
    for (gsize before = G_MAXSIZE; before != sent;) {
        before = sent;
        while (sent < FLOOD_BYTES) {
            const guint8 byte = (guint8)(sent % 251);
            if (send(guest, &byte, 1, MSG_DONTWAIT) != 1) {
                break;
            }
            sent++;
        }
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    return sent;
}

/* The pipe fills up and the guest has to wait, the loop has not; the reader misses nothing. */
static void test_pipe_without_reader(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_cmpint(mkfifo(fixture->path, 0600), ==, 0);
    follow(fixture);
    gsize sent = flood(0);
    g_assert_cmpuint(sent, >, 0);
    g_assert_cmpuint(sent, <, FLOOD_BYTES);
    int reader = open(fixture->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    g_assert_cmpint(reader, >=, 0);
    gsize received = 0;
    guint8 bytes[65536];
    const gsize wanted = sent + 1000;
    while (received < wanted) {
        ssize_t got = 0;
        wait_until((got = read(reader, bytes, sizeof bytes)) > 0);
        for (ssize_t i = 0; i < got; i++, received++) {
            g_assert_cmpuint(bytes[i], ==, received % 251);
        }
        if (sent < wanted) {
            sent = flood(sent);
        }
    }
    close(reader);
}

static void test_no_such_directory(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(fixture->path, "file", NULL);
    g_assert_null(dinv_vm_engine_log_new(path, &error));
    g_assert_nonnull(strstr(error->message, path));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/engine-log/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("file", test_file);
    ADD("pipe-without-reader", test_pipe_without_reader);
    ADD("no-such-directory", test_no_such_directory);
    return g_test_run();
}

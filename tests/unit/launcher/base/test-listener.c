/* SPDX-License-Identifier: MIT */
/* How a listening socket gets its path, what may be in its way, and how it accepts. */
#include "launcher/base/listener.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *path;
    DinvListener *listener; /* of a test whose callback needs it */
    guint accepted;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->directory = g_dir_make_tmp("dinv-listener-XXXXXX", NULL);
    g_assert_nonnull(fixture->directory);
    fixture->path = g_build_filename(fixture->directory, "a.sock", NULL);
}

/* Removing the directory proves that nothing was left in it. */
static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
    g_free(fixture->directory);
    g_free(fixture->path);
}

static DinvListener *listen_at(const char *path, GError **error) {
    return dinv_listener_new(path, 0640, (uid_t)-1, (gid_t)-1, error);
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void on_accepted(int fd, gpointer user) {
    ((Fixture *)user)->accepted++;
    close(fd);
}

static void test_mode_and_removal(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(GError) error = NULL;
    DinvListener *listener = listen_at(fixture->path, &error);
    struct stat status;
    g_assert_no_error(error);
    g_assert_cmpint(lstat(fixture->path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 07777, ==, 0640);
    dinv_listener_free(listener);
    g_assert_cmpint(lstat(fixture->path, &status), ==, -1);
}

static void test_clients_wait(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(DinvListener) listener = listen_at(fixture->path, NULL);
    int first = connect_to(fixture->path);
    int second = connect_to(fixture->path);
    g_assert_cmpint(first, >=, 0);
    g_assert_cmpint(second, >=, 0);
    dinv_listener_accept_to(listener, on_accepted, fixture);
    while (fixture->accepted < 2) {
        g_main_context_iteration(NULL, TRUE);
    }
    close(first);
    close(second);
}

static void test_dead_socket_is_replaced(Fixture *fixture, gconstpointer data) {
    (void)data;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    close(fd);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvListener) listener = listen_at(fixture->path, &error);
    g_assert_no_error(error);
    g_assert_nonnull(listener);
    int client = connect_to(fixture->path);
    g_assert_cmpint(client, >=, 0);
    close(client);
}

static void test_live_socket_is_kept(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(DinvListener) listener = listen_at(fixture->path, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_nonnull(listener);
    g_assert_null(listen_at(fixture->path, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_assert_nonnull(strstr(error->message, fixture->path));
    int client = connect_to(fixture->path);
    g_assert_cmpint(client, >=, 0);
    close(client);
}

/* Whether a program uses a socket of another type cannot be found out by connecting to it. */
static void test_other_type_is_kept(Fixture *fixture, gconstpointer data) {
    (void)data;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_autoptr(GError) error = NULL;
    g_assert_null(listen_at(fixture->path, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, g_strerror(EPROTOTYPE)));
    g_assert_null(strstr(error->message, "running program"));
    close(fd);
    g_unlink(fixture->path);
}

static void test_file_is_kept(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents(fixture->path, "mine", -1, NULL));
    g_assert_null(listen_at(fixture->path, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS);
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(fixture->path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "mine");
    g_unlink(fixture->path);
}

static void test_path_too_long(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *name = g_strnfill(120, 'x');
    g_autofree char *path = g_build_filename(fixture->directory, name, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(listen_at(path, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG);
}

/* Another program that took the path over in the meantime keeps its socket. */
static void test_foreign_socket_survives(Fixture *fixture, gconstpointer data) {
    (void)data;
    DinvListener *listener = listen_at(fixture->path, NULL);
    g_assert_cmpint(g_unlink(fixture->path), ==, 0);
    g_assert_true(g_file_set_contents(fixture->path, "other", -1, NULL));
    dinv_listener_free(listener);
    g_assert_cmpint(g_unlink(fixture->path), ==, 0);
}

/* What a killed process with our pid left; in a container that is always the same pid. */
static void test_stale_temporary(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *name = g_strdup_printf(".%x", (unsigned)getpid());
    g_autofree char *temporary = g_build_filename(fixture->directory, name, NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, temporary, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    close(fd);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvListener) listener = listen_at(fixture->path, &error);
    g_assert_no_error(error);
    g_assert_nonnull(listener);
    g_assert_false(g_file_test(temporary, G_FILE_TEST_EXISTS));
    int client = connect_to(fixture->path);
    g_assert_cmpint(client, >=, 0);
    close(client);
}

static void test_directory_is_made(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autofree char *directory = g_build_filename(fixture->directory, "a", NULL);
    g_autofree char *path = g_build_filename(directory, "b.sock", NULL);
    g_autoptr(GError) error = NULL;
    DinvListener *listener = listen_at(path, &error);
    g_assert_no_error(error);
    int client = connect_to(path);
    g_assert_cmpint(client, >=, 0);
    close(client);
    dinv_listener_free(listener);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void pause_when_two(int fd, gpointer user) {
    Fixture *fixture = user;
    close(fd);
    if (++fixture->accepted == 2) {
        dinv_listener_pause(fixture->listener);
    }
}

/* From within the callback; who comes then waits for the next accept_to(). */
static void test_pause(Fixture *fixture, gconstpointer data) {
    (void)data;
    int clients[3];
    fixture->listener = listen_at(fixture->path, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = connect_to(fixture->path);
        g_assert_cmpint(clients[i], >=, 0);
    }
    dinv_listener_accept_to(fixture->listener, pause_when_two, fixture);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpuint(fixture->accepted, ==, 2);
    dinv_listener_accept_to(fixture->listener, on_accepted, fixture);
    while (fixture->accepted < 3) {
        g_main_context_iteration(NULL, TRUE);
    }
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        close(clients[i]);
    }
    dinv_listener_free(fixture->listener);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/listener/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("mode-and-removal", test_mode_and_removal);
    ADD("clients-wait", test_clients_wait);
    ADD("pause", test_pause);
    ADD("dead-socket-is-replaced", test_dead_socket_is_replaced);
    ADD("live-socket-is-kept", test_live_socket_is_kept);
    ADD("other-type-is-kept", test_other_type_is_kept);
    ADD("file-is-kept", test_file_is_kept);
    ADD("path-too-long", test_path_too_long);
    ADD("foreign-socket-survives", test_foreign_socket_survives);
    ADD("stale-temporary", test_stale_temporary);
    ADD("directory-is-made", test_directory_is_made);
    return g_test_run();
}

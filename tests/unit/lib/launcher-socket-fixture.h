/* SPDX-License-Identifier: MIT */
/*
 * A vm on a machine that runs nothing, served at launcher.sock, and clients that write there what
 * they like. Included once per test program.
 */
#pragma once

#include <errno.h>
#include <sys/un.h>

#include "launcher/vm/launcher-socket.h"
#include "tests/unit/lib/machine-fake.h"

typedef struct {
    VmFixture vm;
    DinvVmLauncherSocket *server;
    char *path;
} Fixture;

static inline void set_up(Fixture *fixture, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    vm_set_up(&fixture->vm, data);
    fixture->path = scratch_path(&fixture->vm.scratch, "launcher.sock");
    fixture->server =
        dinv_vm_launcher_socket_new(fixture->vm.config.state_dir, fixture->vm.vm, &error);
    g_assert_no_error(error);
    vm_start(&fixture->vm);
}

/* In the order of launcher/cli/run.c: the vm's end answers those who wait for its status. */
static inline void tear_down(Fixture *fixture, gconstpointer data) {
    g_clear_pointer(&fixture->vm.vm, dinv_vm_free);
    dinv_vm_launcher_socket_free(fixture->server);
    g_assert_false(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
    g_free(fixture->path);
    vm_tear_down(&fixture->vm, data);
}

static inline int connect_raw(const Fixture *fixture) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static inline void put(int client, const char *text) {
    g_assert_cmpint(send(client, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

/* Takes all there is; whether the connection has ended. */
static inline gboolean take(int client, GString *text) {
    char chunk[4096];
    ssize_t got = 0;
    while ((got = recv(client, chunk, sizeof chunk, 0)) > 0) {
        g_string_append_len(text, chunk, got);
    }
    return got == 0 || errno != EAGAIN;
}

/* All that comes until the connection ends. Transfer full. */
static inline char *take_all(int client) {
    GString *text = g_string_new(NULL);
    wait_until(take(client, text));
    close(client);
    return g_string_free(text, FALSE);
}

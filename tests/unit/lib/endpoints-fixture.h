/* SPDX-License-Identifier: MIT */
/*
 * The settings of the endpoints (launcher/vm/endpoints.h) in a directory for one test, and an
 * engine that says hello to every client. Included once per test program.
 */
#pragma once

#include <unistd.h>

#include "launcher/vm/endpoints.h"
#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
    DinvConfig config; /* the unix socket alone; tests add ports */
    guint clients;     /* how many were served */
    gboolean keeps;    /* the next client's connection */
    int kept;
} EndpointsFixture;

static inline void endpoints_set_up(EndpointsFixture *fixture) {
    scratch_make(&fixture->scratch);
    fixture->config = (DinvConfig){
        .socket_path = scratch_path(&fixture->scratch, "docker.sock"),
        .socket_mode = 0600,
        .socket_uid = (uid_t)-1,
        .socket_gid = (gid_t)-1,
    };
}

static inline void endpoints_tear_down(EndpointsFixture *fixture) {
    g_assert_false(g_file_test(fixture->config.socket_path, G_FILE_TEST_EXISTS));
    g_free(fixture->config.socket_path);
    scratch_remove(&fixture->scratch);
}

static inline DinvVmEndpoints *endpoints_new(const EndpointsFixture *fixture) {
    g_autoptr(GError) error = NULL;
    DinvVmEndpoints *endpoints = dinv_vm_endpoints_new(&fixture->config, &error);
    g_assert_no_error(error);
    g_assert_true(dinv_vm_endpoints_load_certificates(endpoints, &error));
    return endpoints;
}

/* Says "hello" and closes, or keeps the connection. */
static inline void endpoints_on_client(int fd, gpointer user) {
    EndpointsFixture *fixture = user;
    fixture->clients++;
    g_assert_cmpint(write(fd, "hello", 5), ==, 5);
    if (fixture->keeps) {
        fixture->kept = fd;
    } else {
        close(fd);
    }
}

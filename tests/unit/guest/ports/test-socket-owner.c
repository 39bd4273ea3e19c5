/* SPDX-License-Identifier: MIT */
/* Whose sockets are, by the cgroups and descriptors of a made-up /proc. */
#include "guest/ports/socket-owner.h"

#include <string.h>

#include "tests/unit/lib/fake-proc.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What is found of a socket that one process of that name and cgroup has. */
static DinvPortsSocketOwner find_owner(const char *comm, const char *cgroup) {
    Scratch proc;
    scratch_make(&proc);
    fake_proc_add(&proc, 100, comm, cgroup, 4711);
    fake_proc_add(&proc, 101, "other", "/docker/" ID, 12);
    scratch_write(&proc, "102/comm", "no cgroup, as one that has ended\n");
    scratch_write(&proc, "self/cgroup", "0::/docker/" ID "\n");
    DinvPortsSocketOwner sockets[] = {{.inode = 1},
                                      {.inode = 4711, .owner = "old", .engine = true}};
    dinv_ports_find_owners(proc.path, "engine", sockets, G_N_ELEMENTS(sockets));
    g_assert_cmpstr(sockets[0].owner, ==, "");
    g_assert_false(sockets[0].engine);
    scratch_remove(&proc);
    return sockets[1];
}

static void test_containers(void) {
    static const struct {
        const char *cgroup;
        const char *owner;
    } cases[] = {
        {"/docker/" ID, "container 0123456789ab"},
        {"/docker/" ID "/init/deeper", "container 0123456789ab"},
        {"/system.slice/docker-" ID ".scope", "container 0123456789ab"},
        {"/mine/decade", "cgroup /mine/decade"},
        {"/engine2/" ID, "container 0123456789ab"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvPortsSocketOwner found = find_owner("dockerd", cases[i].cgroup);
        g_assert_cmpstr(found.owner, ==, cases[i].owner);
        g_assert_false(found.engine);
    }
}

/* A container cannot make itself dockerd by its name, nor is a port proxy dockerd. */
static void test_own(void) {
    static const struct {
        const char *comm;
        const char *cgroup;
        bool engine;
    } cases[] = {
        {"dockerd", "/engine", true},
        {"dockerd", "/engine/below", true},
        {"docker-proxy", "/engine", false},
        {"dockerd", "/", false},
        {"sh", "/", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        DinvPortsSocketOwner found = find_owner(cases[i].comm, cases[i].cgroup);
        g_assert_cmpstr(found.owner, ==, "");
        g_assert_cmpint(found.engine, ==, cases[i].engine);
    }
}

/* A cgroup's name may be as long as the kernel allows. */
static void test_long_name(void) {
    g_autofree char *name = g_strnfill(250, 'x');
    g_autofree char *cgroup = g_strdup_printf("/%s", name);
    DinvPortsSocketOwner found = find_owner("sh", cgroup);
    g_assert_true(g_str_has_prefix(found.owner, "cgroup /xxx"));
    g_assert_cmpuint(strlen(found.owner), ==, DINV_PORTS_OWNER_SIZE - 1);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/ports/socket-owner/containers", test_containers);
    g_test_add_func("/guest/ports/socket-owner/own", test_own);
    g_test_add_func("/guest/ports/socket-owner/long-name", test_long_name);
    return g_test_run();
}

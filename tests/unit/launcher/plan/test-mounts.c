/* SPDX-License-Identifier: MIT */
/* The judgement on each mount that was named or found, and on what serves them. */
#include "launcher/plan/mounts.h"

#include "tests/unit/lib/plan-fixture.h"
#include "wire/mounts.h"

/* The judgement on the last one that was added. */
static void assert_last(Fixture *fixture, DinvPlanMountVerdict verdict, const char *problem) {
    g_autoptr(GPtrArray) mounts = dinv_plan_mounts(&fixture->config, &fixture->findings);
    g_assert_cmpuint(mounts->len, ==, fixture->findings.mounts->len);
    const DinvPlanMount *last = mounts->pdata[mounts->len - 1];
    g_assert_cmpint(last->verdict, ==, verdict);
    g_assert_cmpstr(last->problem, ==, problem);
}

static void test_named(Fixture *fixture, gconstpointer data) {
    (void)data;
    DinvPlanMountFinding *found = add_named(fixture, "/src", "/src");
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    found->is_readable = FALSE;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "may not be read by this user");
    found->error = ENOENT;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "does not exist");
    found->error = EACCES;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "Permission denied");
}

static void test_files(Fixture *fixture, gconstpointer data) {
    (void)data;
    DinvPlanMountFinding *found = add_mount(fixture, TRUE, S_IFREG, "/a", "/a");
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN_READONLY, NULL);
    found->spec->readonly = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    found->bytes = DINV_MOUNT_FILE_MAX;
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    found->bytes++;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED,
                "is a file of more than 16 MiB; mount its directory");
    found->mode = S_IFSOCK;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "is neither a directory nor a file");
    (void)add_mount(fixture, TRUE, S_IFREG, "/b", "/etc/hosts");
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "would hide a file in /etc of the guest");
}

/* By what the path leads to, not by what it is called. */
static void test_forbidden(Fixture *fixture, gconstpointer data) {
    (void)data;
    DinvPlanMountFinding *found = add_named(fixture, "/link", "/a");
    g_free(found->resolved);
    found->resolved = g_strdup("/proc/1");
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "would give the guest /proc");
    found->spec->readonly = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED, "would give the guest /proc");
    add_named(fixture, "/var", "/b");
    assert_last(fixture, DINV_PLAN_MOUNT_REFUSED,
                "would give the guest /var/lib/dinv, which lies in it");
    add_named(fixture, "/var", "/c")->spec->readonly = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
}

static void test_found(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->config.tls_directory = (char *)"/certs";
    fixture->config.volume_path = (char *)"/cache/here";
    add_found(fixture, "/src");
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    add_found(fixture, "/src/below");
    assert_last(fixture, DINV_PLAN_MOUNT_COVERED, NULL);
    add_found(fixture, "/etc/docker/certs.d");
    assert_last(fixture, DINV_PLAN_MOUNT_COVERED, NULL);
    add_found(fixture, "/etc/ssl");
    assert_last(fixture, DINV_PLAN_MOUNT_LEFT_OUT, "would hide /etc of the guest");
    g_free(fixture->findings.socket_path);
    fixture->findings.socket_path = g_strdup("/sock/docker.sock");
    add_found(fixture, "/sock");
    assert_last(fixture, DINV_PLAN_MOUNT_OWN, "holds the engine's socket");
    add_found(fixture, "/certs/client");
    assert_last(fixture, DINV_PLAN_MOUNT_OWN, "holds the engine's certificates and keys");
    fixture->config.tls_key = (char *)"/mine/key.pem";
    add_found(fixture, "/mine");
    assert_last(fixture, DINV_PLAN_MOUNT_OWN, "holds the engine's key for TLS");
    add_found(fixture, "/var/lib/docker");
    assert_last(fixture, DINV_PLAN_MOUNT_LEFT_OUT, "would hide /var/lib/docker of the guest");
    g_free(fixture->findings.state_dir);
    fixture->findings.state_dir = g_strdup("/var/lib/docker/dinv");
    assert_last(fixture, DINV_PLAN_MOUNT_OWN, "holds the state directory");
    add_found(fixture, "/cache");
    assert_last(fixture, DINV_PLAN_MOUNT_LEFT_OUT,
                "would hide the private volume (DINV_VOLUME_PATH)");
    add_found(fixture, "/gone")->error = ENOENT;
    assert_last(fixture, DINV_PLAN_MOUNT_LEFT_OUT, "does not exist");
    add_found(fixture, "/scratch")->is_scratch = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_OWN,
                "is memory of the container's own (docker run --tmpfs); DINV_MOUNTS can name it");
    add_named(fixture, "/scratch", "/scratch");
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    add_found(fixture, "/in-memory")->is_memory = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
    add_found(fixture, "/var/run/secrets/token")->is_memory = TRUE;
    assert_last(fixture, DINV_PLAN_MOUNT_OWN, "would hide /var/run of the guest");
}

/* What is left out takes no place of those that there are. */
static void test_too_many(Fixture *fixture, gconstpointer data) {
    (void)data;
    for (guint i = 0; i < DINV_WIRE_MOUNTS_MAX; i++) {
        g_autofree char *path = g_strdup_printf("/srv-%u", i);
        add_found(fixture, path);
        assert_last(fixture, DINV_PLAN_MOUNT_SHOWN, NULL);
        add_found(fixture, "/gone")->error = ENOENT;
    }
    add_found(fixture, "/one-more");
    assert_last(fixture, DINV_PLAN_MOUNT_LEFT_OUT,
                "is more than the 64 that the machine has room for");
}

static void assert_server(Fixture *fixture, DinvMountDriver driver, DinvPlanServer server) {
    g_autoptr(GPtrArray) mounts = dinv_plan_mounts(&fixture->config, &fixture->findings);
    fixture->config.mount_driver = driver;
    g_assert_cmpint(dinv_plan_mount_server(&fixture->config, &fixture->findings, mounts), ==,
                    server);
}

static void test_server(Fixture *fixture, gconstpointer data) {
    (void)data;
    add_found(fixture, "/gone")->error = ENOENT;
    assert_server(fixture, DINV_MOUNT_VIRTIOFS, DINV_PLAN_SERVER_NONE);
    add_found(fixture, "/src");
    assert_server(fixture, DINV_MOUNT_9P, DINV_PLAN_SERVER_9P);
    assert_server(fixture, DINV_MOUNT_AUTO, DINV_PLAN_SERVER_9P_FALLBACK);
    assert_server(fixture, DINV_MOUNT_VIRTIOFS, DINV_PLAN_SERVER_MISSING);
    find_virtiofsd(fixture);
    assert_server(fixture, DINV_MOUNT_9P, DINV_PLAN_SERVER_9P);
    assert_server(fixture, DINV_MOUNT_AUTO, DINV_PLAN_SERVER_VIRTIOFSD);
    assert_server(fixture, DINV_MOUNT_VIRTIOFS, DINV_PLAN_SERVER_VIRTIOFSD);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/launcher/plan/mounts/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("named", test_named);
    ADD("files", test_files);
    ADD("forbidden", test_forbidden);
    ADD("found", test_found);
    ADD("too-many", test_too_many);
    ADD("server", test_server);
    return g_test_run();
}

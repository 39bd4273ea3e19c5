/* SPDX-License-Identifier: MIT */
/* With a socket in place of the kernel's end of fanotify, and a fake of syncfs(); that dockerd
 * opens what is waited for here is seen in tests/integration/test-crash.py. */
#include "guest/engine/layer-sync.h"

#include <sys/fanotify.h>
#include <sys/mman.h>

#include "tests/unit/lib/guest-harness.h"
#include "tests/unit/lib/scratch.h"

#define LAYERDB "image/overlay2/layerdb/"
#define RECORD  LAYERDB "tmp/write-set-1/cache-id"

/* What processes of the fake share with the test. */
typedef struct {
    int synced;
    int error; /* it answers that; -1: is killed */
    bool hold; /* it waits for the end of that */
} Shared;

static Shared *shared;

typedef struct {
    Harness harness;
    Scratch scratch;
    int kernel;
    DinvEngineLayerSync *layers;
    struct fanotify_response response;
} Fixture;

static int fake_sync(int fd) {
    g_assert_cmpint(fcntl(fd, F_GETFD), >=, 0);
    while (*(volatile bool *)&shared->hold) {
        g_usleep(1000);
    }
    (void)__atomic_add_fetch(&shared->synced, 1, __ATOMIC_SEQ_CST);
    if (shared->error < 0) {
        (void)raise(SIGKILL);
    }
    errno = shared->error;
    return shared->error == 0 ? 0 : -1;
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    harness_init(&fixture->harness);
    scratch_make(&fixture->scratch);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(shared != MAP_FAILED);
    int ends[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), ==,
                    0);
    fixture->kernel = ends[0];
    fixture->layers = dinv_engine_layer_sync_new(fixture->harness.loop, ends[1], fake_sync);
    g_assert_nonnull(fixture->layers);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    dinv_engine_layer_sync_free(fixture->layers);
    close(fixture->kernel);
    (void)munmap(shared, sizeof *shared);
    scratch_remove(&fixture->scratch);
    harness_clear(&fixture->harness);
}

/* An open of that file; its descriptor, which is no longer the test's. */
static int open_event(Fixture *fixture, const char *name) {
    g_autofree char *path = scratch_path(&fixture->scratch, name);
    scratch_write(&fixture->scratch, name, "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const struct fanotify_event_metadata event = {.event_len = sizeof event,
                                                  .vers = FANOTIFY_METADATA_VERSION,
                                                  .metadata_len = sizeof event,
                                                  .mask = FAN_OPEN_PERM,
                                                  .fd = fd};
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fixture->kernel, &event, sizeof event), ==, sizeof event);
    return fd;
}

static bool has_response(void *user) {
    Fixture *fixture = user;
    return read(fixture->kernel, &fixture->response, sizeof fixture->response) ==
           sizeof fixture->response;
}

static void expect_response(Fixture *fixture, int fd, guint32 response) {
    harness_run_until(&fixture->harness, has_response, fixture);
    g_assert_cmpint(fixture->response.fd, ==, fd);
    g_assert_cmpuint(fixture->response.response, ==, response);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

static void test_record(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    for (int number = 1; number <= 3; number++) {
        expect_response(fixture, open_event(fixture, RECORD), FAN_ALLOW);
        g_assert_cmpint(shared->synced, ==, number);
    }
}

static void test_others(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const char *const names[] = {
        LAYERDB "tmp/write-set-1/size", LAYERDB "tmp/write-set-1/tar-split.json.gz",
        LAYERDB "tmp/write-set-1/no-cache-id", LAYERDB "sha256/0123/cache-id",
        LAYERDB "mounts/0123/mount-id"};
    for (size_t index = 0; index < G_N_ELEMENTS(names); index++) {
        expect_response(fixture, open_event(fixture, names[index]), FAN_ALLOW);
    }
    g_assert_cmpint(shared->synced, ==, 0);
}

/* What could not be brought to the disk is not recorded. */
static void test_failure(Fixture *fixture, gconstpointer data) {
    shared->error = GPOINTER_TO_INT(data);
    expect_response(fixture, open_event(fixture, RECORD), FAN_DENY);
    shared->error = 0;
    expect_response(fixture, open_event(fixture, RECORD), FAN_ALLOW);
    g_assert_cmpint(shared->synced, ==, 2);
}

/* While some sync, others are not held up, and each gets its own answer. */
static void test_several(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    shared->hold = true;
    int first = open_event(fixture, RECORD);
    int second = open_event(fixture, LAYERDB "tmp/write-set-2/cache-id");
    expect_response(fixture, open_event(fixture, LAYERDB "mounts/0123/init-id"), FAN_ALLOW);
    g_assert_cmpint(shared->synced, ==, 0);
    shared->hold = false;
    int other = first;
    harness_run_until(&fixture->harness, has_response, fixture);
    if (fixture->response.fd == first) {
        other = second;
    } else {
        g_assert_cmpint(fixture->response.fd, ==, second);
    }
    expect_response(fixture, other, FAN_ALLOW);
    g_assert_cmpint(shared->synced, ==, 2);
}

/* Freed while one syncs: its end finds nobody. */
static void test_freed(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    shared->hold = true;
    (void)open_event(fixture, RECORD);
    expect_response(fixture, open_event(fixture, LAYERDB "mounts/0123/init-id"), FAN_ALLOW);
    g_clear_pointer(&fixture->layers, dinv_engine_layer_sync_free);
    shared->hold = false;
    while (dinv_loop_reap(fixture->harness.loop)) {
        g_assert_cmpint(dinv_loop_iterate(fixture->harness.loop, 100), ==, 0);
    }
    g_assert_cmpint(shared->synced, ==, 1);
}

static void test_no_layerdb(void) {
    Scratch scratch;
    scratch_make(&scratch);
    int result = dinv_engine_layer_sync_open(scratch.path);
    scratch_remove(&scratch);
    /* EPERM: an ordinary user has no fanotify of this class. */
    g_assert_true(result == -ENOENT || result == -EPERM);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/layer-sync/record", Fixture, NULL, set_up, test_record, tear_down);
    g_test_add("/guest/layer-sync/others", Fixture, NULL, set_up, test_others, tear_down);
    g_test_add("/guest/layer-sync/error", Fixture, GINT_TO_POINTER(EIO), set_up, test_failure,
               tear_down);
    g_test_add("/guest/layer-sync/killed", Fixture, GINT_TO_POINTER(-1), set_up, test_failure,
               tear_down);
    g_test_add("/guest/layer-sync/several", Fixture, NULL, set_up, test_several, tear_down);
    g_test_add("/guest/layer-sync/freed", Fixture, NULL, set_up, test_freed, tear_down);
    g_test_add_func("/guest/layer-sync/no-layerdb", test_no_layerdb);
    return g_test_run();
}

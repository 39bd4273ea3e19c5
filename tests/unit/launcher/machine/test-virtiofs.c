/* SPDX-License-Identifier: MIT */
/* virtiofsd: what it is told, its sockets, its ends. A script plays the program. */
#include "launcher/machine/virtiofs.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "launcher/machine/virtiofsd.h"
#include "tests/unit/lib/scratch.h"

typedef struct {
    Scratch scratch;
    DinvConfig config;
    DinvMachineVirtiofsd program;
    DinvMachinePlan plan;
    GPtrArray *mounts;
    GMainLoop *loop;
    char *text;
    gboolean failed;
} Fixture;

static DinvMountSpec directory = {(char *)"/src,a\\b", (char *)"/src", FALSE, FALSE};
static DinvMountSpec second = {(char *)"/data", (char *)"/data", TRUE, FALSE};
static DinvMountSpec file = {(char *)"/home/me/.netrc", (char *)"/n", TRUE, TRUE};

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    scratch_make(&fixture->scratch);
    fixture->config = (DinvConfig){.state_dir = fixture->scratch.path};
    fixture->program =
        (DinvMachineVirtiofsd){.program = scratch_path(&fixture->scratch, "virtiofsd")};
    fixture->mounts = g_ptr_array_new();
    g_ptr_array_add(fixture->mounts, &directory);
    g_ptr_array_add(fixture->mounts, &file);
    g_ptr_array_add(fixture->mounts, &second);
    fixture->plan = (DinvMachinePlan){
        .config = &fixture->config, .mounts = fixture->mounts, .virtiofsd = &fixture->program};
    fixture->loop = g_main_loop_new(NULL, FALSE);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_main_loop_unref(fixture->loop);
    g_ptr_array_unref(fixture->mounts);
    g_free((char *)fixture->program.program);
    g_free(fixture->text);
    scratch_remove(&fixture->scratch);
}

static void write_program(Fixture *fixture, const char *text) {
    scratch_write(&fixture->scratch, "virtiofsd", text);
    g_assert_cmpint(g_chmod(fixture->program.program, 0755), ==, 0);
}

static void on_gone(const char *text, gboolean failed, gpointer user) {
    Fixture *fixture = user;
    g_assert_null(fixture->text); /* once */
    fixture->text = g_strdup(text);
    fixture->failed = failed;
    g_main_loop_quit(fixture->loop);
}

static gboolean on_guard(gpointer user G_GNUC_UNUSED) {
    g_error("nothing happened for 20 s");
    return G_SOURCE_REMOVE;
}

static void run_loop(Fixture *fixture) {
    guint guard = g_timeout_add_seconds(20, on_guard, NULL);
    g_main_loop_run(fixture->loop);
    g_source_remove(guard);
}

static void assert_argv(const DinvMachineVirtiofsd *program, const DinvMountSpec *mount,
                        const char *wanted) {
    g_auto(GStrv) argv = dinv_machine_virtiofsd_argv(program, mount, NULL, 3);
    g_autofree char *joined = g_strjoinv(" ", argv);
    g_assert_cmpstr(joined, ==, wanted);
}

static void test_argv(Fixture *fixture, gconstpointer data) {
    const DinvMachineVirtiofsd own = {.program = "/usr/libexec/virtiofsd"};
    const DinvMachineVirtiofsd of_user = {
        .program = "/usr/libexec/virtiofsd", .squashes = TRUE, .uid = 1000, .gid = 100};
    const DinvMachineVirtiofsd of_qemu = {.program = "/usr/lib/qemu/virtiofsd", .is_of_qemu = TRUE};
    (void)fixture;
    (void)data;
    assert_argv(
        &own, &directory,
        "/usr/libexec/virtiofsd --fd=3 --shared-dir /src,a\\b --sandbox=chroot --cache=auto "
        "--xattr --log-level=error");
    assert_argv(&own, &second,
                "/usr/libexec/virtiofsd --fd=3 --shared-dir /data --sandbox=chroot --cache=auto "
                "--xattr --log-level=error --readonly");
    assert_argv(&of_user, &second,
                "/usr/libexec/virtiofsd --fd=3 --shared-dir /data --sandbox=none "
                "--translate-uid=squash-guest:0:1000:4294967295 "
                "--translate-gid=squash-guest:0:100:4294967295 --cache=auto "
                "--xattr --log-level=error --readonly");
    assert_argv(&of_qemu, &directory,
                "/usr/lib/qemu/virtiofsd --fd=3 -f -o source=/src\\,a\\\\b -o "
                "sandbox=chroot,cache=auto,xattr,log_level=err");
}

/* One for each directory, none for a file; connected before anybody accepts; no name is left. */
static void test_start(Fixture *fixture, gconstpointer data) {
    g_autofree char *name = scratch_path(&fixture->scratch, "virtiofs.sock");
    (void)data;
    write_program(fixture, "#!/bin/sh\nexec sleep 1000\n");
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvMachineVirtiofs) virtiofs =
        dinv_machine_virtiofs_start(&fixture->plan, on_gone, fixture, &error);
    g_assert_no_error(error);
    const GArray *fds = dinv_machine_virtiofs_get_fds(virtiofs);
    g_assert_cmpuint(fds->len, ==, 2);
    for (guint i = 0; i < fds->len; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        g_assert_cmpint(
            getpeername(g_array_index(fds, int, i), (struct sockaddr *)&address, &length), ==, 0);
    }
    g_assert_false(g_file_test(name, G_FILE_TEST_EXISTS));
    dinv_machine_virtiofs_close_fds(virtiofs);
    g_assert_cmpuint(fds->len, ==, 0);
}

static void test_dies(Fixture *fixture, gconstpointer data) {
    const char *words = (const char *)data;
    g_autofree char *script =
        g_strdup_printf("#!/bin/sh\n[ \"$3\" = /data ] || exec sleep 1000\n%s\n", words);
    write_program(fixture, script);
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvMachineVirtiofs) virtiofs =
        dinv_machine_virtiofs_start(&fixture->plan, on_gone, fixture, &error);
    g_assert_no_error(error);
    g_assert_nonnull(virtiofs);
    run_loop(fixture);
    if (g_str_has_prefix(words, "kill")) {
        g_assert_cmpstr(fixture->text, ==, "virtiofsd, which serves /data, was killed by signal 9");
        g_assert_true(fixture->failed);
    } else if (g_str_has_suffix(words, "exit 3")) {
        g_assert_cmpstr(fixture->text, ==,
                        "virtiofsd, which serves /data, ended with status 3: no such luck");
        g_assert_true(fixture->failed);
    } else {
        g_assert_false(fixture->failed); /* as when QEMU hangs up */
    }
}

/* The child has its socket, and neither what QEMU is preloaded with nor another descriptor. */
static void test_nothing_else(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    const char *preload = g_getenv("LD_PRELOAD");
    g_autofree char *expected = g_strdup_printf(
        "virtiofsd, which serves /data, ended with status 3: preload=%s fds= 0 1 2 3",
        preload != NULL ? preload : "");
    /* A shell has its script open, too, above 9. */
    write_program(fixture, "#!/bin/sh\n"
                           "[ \"$3\" = /data ] || exec sleep 1000\n"
                           "for n in 0 1 2 3 4 5 6 7 8 9; do\n"
                           "    [ ! -e /proc/$$/fd/$n ] || fds=\"$fds $n\"\n"
                           "done\n"
                           "echo \"preload=$LD_PRELOAD fds=$fds\" >&2\n"
                           "exit 3\n");
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvMachineVirtiofs) virtiofs =
        dinv_machine_virtiofs_start(&fixture->plan, on_gone, fixture, &error);
    g_assert_no_error(error);
    g_assert_nonnull(virtiofs);
    run_loop(fixture);
    g_assert_cmpstr(fixture->text, ==, expected);
}

/* The reason is that of the call that failed, whatever failed before or afterwards. */
static void assert_no_socket(Fixture *fixture, int code, int number) {
    g_autoptr(GError) error = NULL;
    g_autofree char *expected = g_strdup_printf("cannot make a socket for virtiofsd in %s: %s",
                                                fixture->config.state_dir, g_strerror(number));
    errno = EACCES;
    g_assert_null(dinv_machine_virtiofs_start(&fixture->plan, on_gone, fixture, &error));
    g_assert_error(error, G_IO_ERROR, code);
    g_assert_cmpstr(error->message, ==, expected);
}

static void test_long_path(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_autofree char *name = g_strnfill(sizeof(((struct sockaddr_un *)NULL)->sun_path), 'x');
    g_autofree char *path = scratch_path(&fixture->scratch, name);
    fixture->config.state_dir = path;
    assert_no_socket(fixture, G_IO_ERROR_FILENAME_TOO_LONG, ENAMETOOLONG);
}

/* A directory in the socket's place cannot be removed. */
static void test_name_taken(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    scratch_write(&fixture->scratch, "virtiofs.sock/file", "");
    assert_no_socket(fixture, G_IO_ERROR_ADDRESS_IN_USE, EADDRINUSE);
}

static void test_no_program(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_autoptr(GError) error = NULL;
    g_assert_null(dinv_machine_virtiofs_start(&fixture->plan, on_gone, fixture, &error));
    g_assert_nonnull(error);
    g_assert_true(g_str_has_prefix(error->message, "cannot start virtiofsd: "));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, test) g_test_add("/virtiofs/" name, Fixture, data, set_up, test, tear_down)
    ADD("argv", NULL, test_argv);
    ADD("start", NULL, test_start);
    ADD("dies/killed", "kill -9 $$", test_dies);
    ADD("dies/failed", "echo no such luck >&2; exit 3", test_dies);
    ADD("dies/done", "exit 0", test_dies);
    ADD("nothing-else", NULL, test_nothing_else);
    ADD("long-path", NULL, test_long_path);
    ADD("name-taken", NULL, test_name_taken);
    ADD("no-program", NULL, test_no_program);
    return g_test_run();
}

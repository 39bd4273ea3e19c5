/* SPDX-License-Identifier: MIT */
/*
 * Whole command lines of User-Mode Linux against golden files, one argument a line. After a wanted
 * change: DINV_UPDATE_GOLDEN=1 writes them anew; read the difference before you commit it.
 */
#include "launcher/machine/uml/argv.h"
#include "tests/unit/lib/golden.h"

typedef struct {
    DinvConfig config;
    DinvMachinePlan plan;
    DinvUmlFds fds;
    const char *pins;
    GPtrArray *mounts;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config = (DinvConfig){.cpus = 4,
                                   .mtu = 65520,
                                   .memory_bytes = G_GUINT64_CONSTANT(2048) << 20,
                                   .state_dir = (char *)"/var/lib/dinv",
                                   .uml_kernel = (char *)"/usr/lib/dinv/linux-uml",
                                   .rootfs = (char *)"/usr/lib/dinv/rootfs.ext4"};
    fixture->mounts = g_ptr_array_new_with_free_func(g_free);
    fixture->plan = (DinvMachinePlan){.accel = DINV_MACHINE_UML,
                                      .cpus = 1,
                                      .config = &fixture->config,
                                      .mounts = fixture->mounts,
                                      .data_image = "/var/lib/dinv/data.img"};
    fixture->pins = "1";
    fixture->fds = (DinvUmlFds){.root = 3,
                                .data = 4,
                                .volume = 5,
                                .control = 6,
                                .relay = 7,
                                .console = 8,
                                .network = 9,
                                .first_share = 10,
                                .cpuinfo = 14};
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_ptr_array_unref(fixture->mounts);
}

static void add_mount(Fixture *fixture, const char *source, gboolean is_file) {
    DinvMountSpec *mount = g_new0(DinvMountSpec, 1);
    mount->source = (char *)source;
    mount->target = (char *)"/not/in/the/command/line";
    mount->is_file = is_file;
    g_ptr_array_add(fixture->mounts, mount);
}

static void compare(Fixture *fixture, const char *file) {
    g_auto(GStrv) argv = dinv_uml_argv(&fixture->plan, &fixture->fds, fixture->pins);
    g_autofree char *joined = g_strjoinv("\n", argv);
    g_autofree char *text = g_strconcat(joined, "\n", NULL);
    golden_compare(text, "uml-argv", file);
}

static void test_seccomp(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    compare(fixture, "seccomp.argv");
}

static void test_ptrace(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->plan.uml.use_ptrace = TRUE;
    compare(fixture, "ptrace.argv");
}

static void test_cpus(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->plan.cpus = 4;
    fixture->pins = "2,3,0,1";
    compare(fixture, "cpus.argv");
}

static void test_not_bound(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->pins = NULL;
    fixture->fds.cpuinfo = -1;
    compare(fixture, "not-bound.argv");
}

static void test_volume(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->plan.volume_image = "/var/lib/dinv/volume.img";
    compare(fixture, "volume.argv");
}

/* Directories, and one share for the files; no path of either is in it. */
static void test_mounts(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    static const DinvMachineVirtiofsd virtiofsd = {.program = "/usr/libexec/virtiofsd"};
    add_mount(fixture, "/src", FALSE);
    add_mount(fixture, "/root/.netrc", TRUE);
    add_mount(fixture, "/data:with,odd name", FALSE);
    fixture->plan.virtiofsd = &virtiofsd;
    fixture->plan.files_dir = "/var/lib/dinv/files";
    g_assert_cmpuint(dinv_machine_count_shares(&fixture->plan), ==, 3);
    compare(fixture, "mounts.argv");
}

#define ARGV_TEST(name, function)                                                                  \
    g_test_add("/launcher/machine/uml/argv/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ARGV_TEST("seccomp", test_seccomp);
    ARGV_TEST("ptrace", test_ptrace);
    ARGV_TEST("cpus", test_cpus);
    ARGV_TEST("not-bound", test_not_bound);
    ARGV_TEST("volume", test_volume);
    ARGV_TEST("mounts", test_mounts);
    return g_test_run();
}

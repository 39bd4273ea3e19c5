/* SPDX-License-Identifier: MIT */
/*
 * Whole command lines of QEMU against golden files, one argument a line
 * (golden/qemu-argv/NAME.argv). After a wanted change: DINV_UPDATE_GOLDEN=1 writes them anew; read
 * the difference before you commit it. The order and the slots of the devices are not free: the
 * root disk has to be the highest virtio-mmio slot to be /dev/vda (seen by booting), and slot 0 is
 * dead.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/machine/qemu/argv.h"
#include "tests/unit/lib/golden.h"
#include "wire/mounts.h"

static const DinvQemuFds fds = {
    .qmp = 3, .control = 4, .relay = 5, .console = 6, .network = 7, .first_share = 8};

typedef struct {
    DinvConfig config;
    DinvMachinePlan plan;
    GPtrArray *mounts;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    fixture->config = (DinvConfig){.cpus = 2,
                                   .memory_bytes = G_GUINT64_CONSTANT(2048) << 20,
                                   .mtu = 65520,
                                   .kernel = (char *)"/usr/lib/dinv/vmlinux",
                                   .rootfs = (char *)"/usr/lib/dinv/rootfs.ext4",
                                   .qemu = (char *)"qemu-system-x86_64"};
    fixture->mounts = g_ptr_array_new_with_free_func(g_free);
    fixture->plan = (DinvMachinePlan){.cpus = 2,
                                      .config = &fixture->config,
                                      .mounts = fixture->mounts,
                                      .accel = DINV_MACHINE_TCG,
                                      .data_image = "/var/lib/dinv/data.img",
                                      .qemu.tsc_khz = 2300000};
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
    g_ptr_array_unref(fixture->mounts);
}

static void add_mount(Fixture *fixture, const char *source, gboolean readonly) {
    DinvMountSpec *mount = g_new0(DinvMountSpec, 1);
    mount->source = (char *)source;
    mount->target = (char *)"/not/in/the/command/line";
    mount->readonly = readonly;
    g_ptr_array_add(fixture->mounts, mount);
}

static void add_file(Fixture *fixture, const char *source) {
    add_mount(fixture, source, TRUE);
    ((DinvMountSpec *)g_ptr_array_index(fixture->mounts, fixture->mounts->len - 1))->is_file = TRUE;
}

static void compare(Fixture *fixture, Dinv9pSecurity security, const char *name) {
    g_auto(GStrv) argv = dinv_qemu_argv(&fixture->plan, &fds, security);
    g_autofree char *file = g_strconcat(name, ".argv", NULL);
    g_autofree char *joined = g_strjoinv("\n", argv);
    g_autofree char *text = g_strconcat(joined, "\n", NULL);
    golden_compare(text, "qemu-argv", file);
}

static void test_tcg(Fixture *fixture) {
    compare(fixture, DINV_9P_PASSTHROUGH, "tcg");
}

static void test_tcg_limited(Fixture *fixture) {
    fixture->plan.qemu.tcg_buffer_bytes = G_GUINT64_CONSTANT(139) << 20;
    compare(fixture, DINV_9P_PASSTHROUGH, "tcg-limited");
}

static void test_volume(Fixture *fixture) {
    fixture->plan.volume_image = "/var/lib/dinv/volume.img";
    compare(fixture, DINV_9P_PASSTHROUGH, "volume");
}

/* PCI addresses go up where slots go down: the root disk is probed first on either bus. */
static void test_q35(Fixture *fixture) {
    fixture->config.machine = DINV_MACHINE_TYPE_Q35;
    fixture->plan.volume_image = "/var/lib/dinv/volume.img";
    add_mount(fixture, "/src", FALSE);
    compare(fixture, DINV_9P_PASSTHROUGH, "q35");
}

static void test_q35_kvm(Fixture *fixture) {
    fixture->config.machine = DINV_MACHINE_TYPE_Q35;
    fixture->plan.accel = DINV_MACHINE_KVM;
    compare(fixture, DINV_9P_PASSTHROUGH, "q35-kvm");
}

static void test_tcg_unknown_tsc(Fixture *fixture) {
    fixture->plan.qemu.tsc_khz = 0;
    compare(fixture, DINV_9P_PASSTHROUGH, "tcg-unknown-tsc");
}

static void test_icount(Fixture *fixture) {
    fixture->plan.qemu.icount = TRUE;
    compare(fixture, DINV_9P_PASSTHROUGH, "tcg-icount");
}

static void test_kvm(Fixture *fixture) {
    fixture->plan.accel = DINV_MACHINE_KVM;
    compare(fixture, DINV_9P_PASSTHROUGH, "kvm");
}

static void test_initrd(Fixture *fixture) {
    fixture->config.kernel = (char *)"/boot/vmlinuz-6.12";
    fixture->config.initrd = (char *)"/boot/initrd.img-6.12";
    compare(fixture, DINV_9P_PASSTHROUGH, "initrd");
}

static void test_mtu(Fixture *fixture) {
    fixture->config.mtu = 1400;
    compare(fixture, DINV_9P_PASSTHROUGH, "mtu");
}

static void test_mounts(Fixture *fixture) {
    fixture->plan.accel = DINV_MACHINE_KVM;
    add_mount(fixture, "/src", FALSE);
    add_mount(fixture, "/data", TRUE);
    compare(fixture, DINV_9P_PASSTHROUGH, "mounts-kvm");
}

static void test_mounts_unprivileged(Fixture *fixture) {
    add_mount(fixture, "/src", FALSE);
    compare(fixture, DINV_9P_NONE, "mounts-unprivileged");
}

/* A comma begins the next option unless it is doubled; nothing else is special. */
static void test_special_characters(Fixture *fixture) {
    fixture->config.qemu = (char *)"/opt/my qemu,10/qemu";
    fixture->config.kernel = (char *)"/my kernels,old/vmlinux=1";
    fixture->config.initrd = (char *)"/my kernels,old/initrd";
    fixture->config.rootfs = (char *)"/a,b/root fs,readonly=off.ext4";
    fixture->plan.data_image = "nbd:host:1,cache=unsafe/\xc3\xa4 \"'\\$%s.img";
    add_mount(fixture, "/x,security_model=none,,y=z", TRUE);
    compare(fixture, DINV_9P_PASSTHROUGH, "special-characters");
}

/* A file has no device of its own; all of them share one, the last. */
static void test_files(Fixture *fixture) {
    add_mount(fixture, "/src", FALSE);
    add_file(fixture, "/home/me/.netrc");
    add_mount(fixture, "/data", FALSE);
    fixture->plan.files_dir = "/var/lib/dinv/files";
    compare(fixture, DINV_9P_PASSTHROUGH, "files");
}

/* Directories come by sockets, in the guest's shared memory; files as ever. */
static void test_virtiofs(Fixture *fixture) {
    static const DinvMachineVirtiofsd program = {.program = "/usr/libexec/virtiofsd"};
    fixture->plan.virtiofsd = &program;
    add_mount(fixture, "/src", FALSE);
    add_file(fixture, "/home/me/.netrc");
    add_mount(fixture, "/data", TRUE);
    fixture->plan.files_dir = "/var/lib/dinv/files";
    compare(fixture, DINV_9P_PASSTHROUGH, "virtiofs");
}

/* The machine has a PCI bus when the virtio-mmio slots are used up, and not before. */
static void test_many_mounts(Fixture *fixture) {
    const char *machine = "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=off";
    for (guint i = 0; i < 16; i++) {
        add_mount(fixture, "/src", FALSE);
    }
    g_auto(GStrv) few = dinv_qemu_argv(&fixture->plan, &fds, DINV_9P_NONE);
    g_assert_cmpstr(few[g_strv_length(few) - 1], ==,
                    "virtio-9p-device,bus=virtio-mmio-bus.2,fsdev=dinv15,mount_tag=dinv15");
    g_assert_true(g_strv_contains((const char *const *)few, machine));
    fixture->plan.files_dir = "/files";
    g_auto(GStrv) more = dinv_qemu_argv(&fixture->plan, &fds, DINV_9P_NONE);
    g_assert_cmpstr(more[g_strv_length(more) - 1], ==,
                    "virtio-9p-pci,bus=pcie.0,addr=18.0,multifunction=on,fsdev=dinv-files,"
                    "mount_tag=dinv-files");
    g_assert_false(g_strv_contains((const char *const *)more, machine));
    g_assert_true(g_strv_contains((const char *const *)more,
                                  "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=off,pcie=on"));
    while (fixture->mounts->len < DINV_WIRE_MOUNTS_MAX) {
        add_mount(fixture, "/src", FALSE);
    }
    g_auto(GStrv) most = dinv_qemu_argv(&fixture->plan, &fds, DINV_9P_NONE);
    g_assert_cmpstr(most[g_strv_length(most) - 1], ==,
                    "virtio-9p-pci,bus=pcie.0,addr=1e.0,multifunction=on,fsdev=dinv-files,"
                    "mount_tag=dinv-files");
}

typedef struct {
    const char *path;
    void (*test)(Fixture *fixture);
} Case;

static const Case cases[] = {
    {"/launcher/qemu-argv/tcg", test_tcg},
    {"/launcher/qemu-argv/tcg-unknown-tsc", test_tcg_unknown_tsc},
    {"/launcher/qemu-argv/tcg-icount", test_icount},
    {"/launcher/qemu-argv/kvm", test_kvm},
    {"/launcher/qemu-argv/tcg-limited", test_tcg_limited},
    {"/launcher/qemu-argv/volume", test_volume},
    {"/launcher/qemu-argv/q35", test_q35},
    {"/launcher/qemu-argv/q35-kvm", test_q35_kvm},
    {"/launcher/qemu-argv/initrd", test_initrd},
    {"/launcher/qemu-argv/mtu", test_mtu},
    {"/launcher/qemu-argv/mounts", test_mounts},
    {"/launcher/qemu-argv/mounts-unprivileged", test_mounts_unprivileged},
    {"/launcher/qemu-argv/special-characters", test_special_characters},
    {"/launcher/qemu-argv/files", test_files},
    {"/launcher/qemu-argv/virtiofs", test_virtiofs},
    {"/launcher/qemu-argv/many-mounts", test_many_mounts},
};

static void run(Fixture *fixture, gconstpointer data) {
    const Case *one = data;
    one->test(fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].path, Fixture, &cases[i], set_up, run, tear_down);
    }
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line, which is all that User-Mode Linux is told.
 *
 * What was found out about it, so that nobody has to find it out again:
 *
 * - Disks and sockets are named in lists with ":" and ",". All files come as /proc/self/fd/N,
 *   so that no path can be taken apart, and none of the state directory is known in there. With its
 *   patch for that the kernel takes the descriptor N for it; else it opens that name (cage.h).
 * - Without the flag d a disk that begins with the magic number of a COW file is taken for one,
 *   and the backing file that it names is opened: the guest could read any file here.
 * - uml_dir is where the kernel makes a directory with its pid in it, and it dies when it has none.
 *   /proc/ exists and nothing can be made in it: the kernel says so and goes on.
 * - `panic=` would make it start itself again after a panic. Without it, it aborts.
 * - console=tty0 is the default, and tty0 is con0.
 */
#include "launcher/machine/uml/argv.h"

#include "wire/channels.h"
#include "wire/disks.h"
#include "wire/self-test.h"

/* Frames that are taken from the socket together; the kernel warns of more. */
#define NETWORK_DEPTH 64
/* Of virtio_ids.h. */
#define VIRTIO_ID_FS 26

static void add(GPtrArray *argv, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add(GPtrArray *argv, const char *format, ...) {
    va_list values;
    va_start(values, format);
    g_ptr_array_add(argv, g_strdup_vprintf(format, values));
    va_end(values);
}

/* What every start has, that of a machine and that of a self-test. */
typedef struct {
    guint64 mebibytes;
    gboolean use_ptrace;
    guint cpus;
    const char *pins;
    int cpuinfo;
    guint log_level;
} Kernel;

static void add_kernel(GPtrArray *argv, const Kernel *kernel) {
    add(argv, DINV_UML_ARGV0);
    add(argv, "mem=%" G_GUINT64_FORMAT "M", kernel->mebibytes);
    add(argv, "seccomp=%s", kernel->use_ptrace ? "off" : "on");
    if (kernel->cpus > 1) {
        add(argv, "ncpus=%u", kernel->cpus);
    }
    if (kernel->pins != NULL) {
        add(argv, "pin=%s", kernel->pins);
    }
    if (kernel->cpuinfo >= 0) {
        add(argv, "cpuinfo=/proc/self/fd/%d", kernel->cpuinfo);
    }
    add(argv, "uml_dir=/proc/");
    add(argv, "quiet");
    add(argv, "loglevel=%u", kernel->log_level);
    add(argv, "root=/dev/ubda");
    add(argv, "ro");
    add(argv, "init=/sbin/dinv-guest");
}

/* "c": without a lock. The root image is that of all machines here, and any lock of the whole file
 * is one that QEMU does not start beside. */
static void add_disks(GPtrArray *argv, const DinvMachinePlan *plan, const DinvUmlFds *fds) {
    add(argv, "ubd0rcd=/proc/self/fd/%d,," DINV_WIRE_DISK_ROOT, fds->root);
    add(argv, "ubd1d=/proc/self/fd/%d,," DINV_WIRE_DISK_DATA, fds->data);
    if (plan->volume_image != NULL) {
        add(argv, "ubd2d=/proc/self/fd/%d,," DINV_WIRE_DISK_VOLUME, fds->volume);
    }
}

static void add_channels(GPtrArray *argv, const DinvUmlFds *fds) {
    add(argv, "con=null");
    add(argv, "con0=fd:%d", fds->console);
    add(argv, "ssl=null");
    add(argv, "ssl0=fd:%d", fds->control);
    add(argv, "ssl1=fd:%d", fds->relay);
    add(argv, DINV_WIRE_CONTROL_PARAMETER "=ttyS0");
    add(argv, DINV_WIRE_RELAY_PARAMETER "=ttyS1");
}

static void add_shares(GPtrArray *argv, const DinvMachinePlan *plan, const DinvUmlFds *fds) {
    guint count = dinv_machine_count_shares(plan);
    for (guint i = 0; i < count; i++) {
        add(argv, "virtio_uml.device=/proc/self/fd/%d:%d", fds->first_share + (int)i, VIRTIO_ID_FS);
    }
}

char **dinv_uml_argv(const DinvMachinePlan *plan, const DinvUmlFds *fds, const char *pins) {
    GPtrArray *argv = g_ptr_array_new();
    add_kernel(argv, &(Kernel){.mebibytes = plan->config->memory_bytes >> 20,
                               .use_ptrace = plan->uml.use_ptrace,
                               .cpus = plan->cpus,
                               .pins = pins,
                               .cpuinfo = fds->cpuinfo,
                               .log_level = 4});
    add(argv, "net.ifnames=0");
    add_disks(argv, plan, fds);
    add_channels(argv, fds);
    add(argv, "vec0:transport=fd,fd=%d,depth=%d,mtu=%u", fds->network, NETWORK_DEPTH,
        plan->config->mtu);
    if (plan->virtiofsd != NULL) {
        add_shares(argv, plan, fds);
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

char **dinv_uml_test_argv(gboolean use_ptrace, const DinvUmlFds *fds, const char *pins) {
    GPtrArray *argv = g_ptr_array_new();
    add_kernel(argv, &(Kernel){.mebibytes = 64,
                               .use_ptrace = use_ptrace,
                               .cpus = 1,
                               .pins = pins,
                               .cpuinfo = fds->cpuinfo,
                               .log_level = 3});
    add(argv, "ubd0rcd=/proc/self/fd/%d", fds->root);
    add(argv, "ssl=null");
    add(argv, "con=null");
    add(argv, "con0=fd:%d", fds->console);
    /* What the kernel does not know itself it hands to its first program. */
    add(argv, DINV_WIRE_SELF_TEST_VARIABLE "=1");
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

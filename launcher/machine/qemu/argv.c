/* SPDX-License-Identifier: MIT */
/*
 * The options of QEMU and the places of its devices.
 *
 * What was found out about microvm, so that nobody has to find it out again:
 *
 * - With ACPI there are 24 virtio-mmio slots. The guest's kernel probes them in the order of the
 *   DSDT, which is from virtio-mmio-bus.23 down. The root disk has the highest slot, so it is
 *   /dev/vda; a kernel without an initramfs can name it in no better way.
 * - An interrupt of virtio-mmio-bus.0 is never seen by the guest (QEMU 7.2, TCG): that
 *   slot stays empty.
 * - A disk in an iothread needs ioeventfd, which virtio-mmio has under KVM only.
 * - Under TCG the guest kernel cannot calibrate the TSC (there is no timer to measure it with) and
 *   hangs, unless it is told the rate. It then checks the TSC against its timer ticks, of which
 *   many are lost on a busy host, gives the TSC up, and its clock runs slow by as many (10 s in the
 *   first 28, seen): tsc=reliable. All vCPUs have the host's own TSC.
 * - Emulated on a CPU that is emulated itself, the guest makes some 13 million instructions a
 *   second, and 250 timer interrupts take them all: nothing else ran (seen for 15 minutes). With
 *   icount its clock counts instructions, 16 ns each, so interrupts, time slices and timeouts keep
 *   their proportion to the work done; the TSC counts the nanoseconds. The launcher sets the clock
 *   right every few seconds (launcher/vm/clock.c).
 * - TCG says that it has fast `rep movsb` and runs it byte by byte: 15 MB/s, where the loops that
 *   kernel, libc and Go use on a CPU without it make 200-500. So it must not say so (erms, fsrm).
 *
 * Slots are given explicitly: devices then have the same addresses in every run, whatever is
 * optional.
 *
 * Under KVM the devices are on PCI: an interrupt of virtio-mmio is level-triggered and shared by
 * all its reasons, so it costs three exits to QEMU (its status is read, it is acknowledged, and the
 * IOAPIC, which with so many slots is QEMU's, hears of its end) and two more to KVM, where one of
 * MSI-X costs none. No slot is used then, so there is no second IOAPIC either. Under TCG an exit is
 * a call, and the probing of PCI takes longer. The kernel probes PCI from the lowest address up: a
 * slot's address is counted from the other end.
 *
 * q35 is there for hosts whose QEMU has no microvm. Its devices are on PCI, too. SeaBIOS starts an
 * ELF kernel by the option ROM pvh.bin; qboot finds no ACPI tables for it there.
 */
#include "launcher/machine/qemu/argv.h"
#include "wire/channels.h"
#include "wire/disks.h"
#include "wire/mounts.h"

typedef enum {
    SLOT_ROOT = 23,
    SLOT_DATA = 22,
    SLOT_SERIAL = 21,
    SLOT_NET = 20,
    SLOT_BALLOON = 19,
    SLOT_RNG = 18,
    SLOT_FIRST_MOUNT = 17, /* and down to 2 */
    SLOT_VOLUME = 1,
    SLOT_COUNT = 24,
} Slot;

/* Mounts behind those of the slots are functions of PCI devices that no slot has, on the machine
 * with slots on PCI, too. */
#define SLOT_EXPORTS       ((guint)(SLOT_FIRST_MOUNT - SLOT_VOLUME))
#define FIRST_PCI_DEVICE   0x18u
#define LAST_PCI_DEVICE    0x1eu
#define FUNCTIONS_A_DEVICE 8u
G_STATIC_ASSERT(FIRST_PCI_DEVICE > SLOT_COUNT - SLOT_VOLUME);
G_STATIC_ASSERT(DINV_WIRE_MOUNTS_MAX + 1 <=
                SLOT_EXPORTS + (LAST_PCI_DEVICE - FIRST_PCI_DEVICE + 1) * FUNCTIONS_A_DEVICE);

/* An instruction takes 2^ICOUNT_SHIFT ns of the guest's time. */
#define ICOUNT_SHIFT   "4"
#define ICOUNT_TSC_KHZ 1000000u

/* ---- putting it together ---- */

static void add_flag(GPtrArray *argv, const char *flag) {
    g_ptr_array_add(argv, g_strdup(flag));
}

static void add_option(GPtrArray *argv, const char *option, const char *value) {
    g_ptr_array_add(argv, g_strdup(option));
    g_ptr_array_add(argv, g_strdup(value));
}

static void G_GNUC_PRINTF(3, 4)
    add_format(GPtrArray *argv, const char *option, const char *format, ...) {
    g_ptr_array_add(argv, g_strdup(option));
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(argv, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

static gboolean is_q35(const DinvMachinePlan *plan) {
    return plan->config->machine == DINV_MACHINE_TYPE_Q35;
}

static gboolean is_on_pci(const DinvMachinePlan *plan) {
    return is_q35(plan) || plan->accel == DINV_MACHINE_KVM;
}

/* -device KIND on the bus of the machine, in its slot. */
static void G_GNUC_PRINTF(5, 6) add_device(GPtrArray *argv, const DinvMachinePlan *plan,
                                           const char *kind, Slot slot, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *options = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (is_on_pci(plan)) {
        add_format(argv, "-device", "%s-pci,bus=pcie.0,addr=0x%x%s", kind,
                   (guint)(SLOT_COUNT - slot), options);
    } else {
        add_format(argv, "-device", "%s-device,bus=virtio-mmio-bus.%u%s", kind, (guint)slot,
                   options);
    }
}

/* A value inside a comma-separated option: QEMU reads ",," as a comma. */
static char *double_commas(const char *value) {
    GString *escaped = g_string_new(NULL);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == ',') {
            g_string_append_c(escaped, ',');
        }
        g_string_append_c(escaped, *c);
    }
    return g_string_free(escaped, FALSE);
}

/* ---- the parts ---- */

/* One for each directory, and one for all files. */
static guint count_exports(const DinvMachinePlan *plan) {
    guint count = plan->files_dir != NULL ? 1 : 0;
    for (guint i = 0; plan->mounts != NULL && i < plan->mounts->len; i++) {
        count += ((const DinvMountSpec *)plan->mounts->pdata[i])->is_file ? 0 : 1;
    }
    return count;
}

static void add_machine(GPtrArray *argv, const DinvMachinePlan *plan) {
    add_option(argv, "-name", "dinv");
    add_flag(argv, "-nodefaults");
    add_flag(argv, "-no-user-config");
    add_option(argv, "-display", "none");
    /* A reset ends QEMU, with a SHUTDOWN event that says so. */
    add_flag(argv, "-no-reboot");
    /* QEMU sends events only after the QMP handshake; vCPUs wait for it, so that none is lost. */
    add_flag(argv, "-S");
    add_option(argv, "-sandbox",
               "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    if (is_q35(plan)) {
        add_option(argv, "-M", "q35,sata=off,smbus=off,vmport=off");
    } else {
        /* With ACPI the guest uses neither the PIT nor the PIC. */
        add_format(argv, "-M", "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=off%s%s",
                   is_on_pci(plan) || count_exports(plan) > SLOT_EXPORTS ? ",pcie=on" : "",
                   is_on_pci(plan) ? ",ioapic2=off" : "");
    }
    if (plan->accel == DINV_MACHINE_KVM) {
        add_option(argv, "-accel", "kvm");
        add_option(argv, "-cpu", "host");
    } else {
        /* With a thread for each CPU, one may still run the int3 of code that another has patched
         * by then (jump labels): about one boot in a hundred panicked with "Oops: int3" (seen with
         * QEMU 7.2). */
        g_autofree char *size =
            plan->qemu.tcg_buffer_bytes == 0
                ? g_strdup("")
                : g_strdup_printf(",tb-size=%" G_GUINT64_FORMAT, plan->qemu.tcg_buffer_bytes >> 20);
        add_format(argv, "-accel", "tcg,thread=single%s", size);
        add_option(argv, "-cpu", "max,erms=off,fsrm=off");
        if (plan->qemu.icount) {
            add_option(argv, "-icount", "shift=" ICOUNT_SHIFT ",sleep=on");
        }
    }
    add_format(argv, "-smp", "%u", plan->cpus);
    add_format(argv, "-m", "%" G_GUINT64_FORMAT "M", plan->config->memory_bytes >> 20);
    /* Memory that another process can map costs transparent huge pages: only where virtiofsd needs
     * it. */
    if (plan->virtiofsd != NULL) {
        add_format(argv, "-object",
                   "memory-backend-memfd,id=memory,size=%" G_GUINT64_FORMAT "M,share=on",
                   plan->config->memory_bytes >> 20);
        add_option(argv, "-machine", "memory-backend=memory");
    }
    if (!is_on_pci(plan)) { /* on PCI the kernel takes the modern interface by itself */
        add_option(argv, "-global", "virtio-mmio.force-legacy=false");
    }
}

static void add_kernel(GPtrArray *argv, const DinvMachinePlan *plan) {
    g_autoptr(GString) line = g_string_new(
        "root=/dev/vda ro init=/sbin/dinv-guest console=hvc0 loglevel=4 reboot=t panic=-1 "
        "net.ifnames=0");
    guint tsc_khz = plan->qemu.icount ? ICOUNT_TSC_KHZ : plan->qemu.tsc_khz;
    if (plan->accel != DINV_MACHINE_KVM && tsc_khz > 0) {
        g_string_append_printf(line, " tsc_early_khz=%u tsc=reliable", tsc_khz);
    }
    if (!is_q35(plan)) {
        /* SeaBIOS loads an initrd over the ACPI tables. */
        add_option(argv, "-bios", "qboot.rom");
    }
    add_option(argv, "-kernel", plan->config->kernel);
    if (plan->config->initrd != NULL) {
        add_option(argv, "-initrd", plan->config->initrd);
    }
    add_option(argv, "-append", line->str);
}

/* A disk that the guest writes to. write-cache=on: the guest sends flushes, and each is an
 * fdatasync. When the file system under the image is full the guest is paused, it gets no error:
 * see pauses.c. */
static void add_writable_disk(GPtrArray *argv, const DinvMachinePlan *plan, const char *name,
                              const char *serial, const char *image, Slot slot) {
    g_autofree char *path = double_commas(image);
    add_format(argv, "-blockdev",
               "driver=raw,node-name=%s,cache.direct=off,cache.no-flush=off,discard=unmap,"
               "detect-zeroes=unmap,file.driver=file,file.filename=%s",
               name, path);
    add_device(argv, plan, "virtio-blk", slot,
               ",drive=%s,serial=%s,write-cache=on,werror=enospc,rerror=report%s", name, serial,
               plan->accel == DINV_MACHINE_KVM ? ",iothread=disk" : "");
}

/* -blockdev takes a path as it is; -drive would read "nbd:…" in it as a protocol. */
static void add_disks(GPtrArray *argv, const DinvMachinePlan *plan) {
    g_autofree char *root = double_commas(plan->config->rootfs);
    add_format(argv, "-blockdev",
               "driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=%s", root);
    add_device(argv, plan, "virtio-blk", SLOT_ROOT, ",drive=root,serial=" DINV_WIRE_DISK_ROOT);
    if (plan->accel == DINV_MACHINE_KVM) {
        add_option(argv, "-object", "iothread,id=disk");
    }
    add_writable_disk(argv, plan, "data", DINV_WIRE_DISK_DATA, plan->data_image, SLOT_DATA);
    if (plan->volume_image != NULL) {
        add_writable_disk(argv, plan, "volume", DINV_WIRE_DISK_VOLUME, plan->volume_image,
                          SLOT_VOLUME);
    }
}

static void add_channels(GPtrArray *argv, const DinvMachinePlan *plan, const DinvQemuFds *fds) {
    add_format(argv, "-chardev", "socket,id=qmp,fd=%d", fds->qmp);
    add_option(argv, "-mon", "chardev=qmp,mode=control");
    add_device(argv, plan, "virtio-serial", SLOT_SERIAL, ",max_ports=3");
    add_format(argv, "-chardev", "socket,id=console,fd=%d", fds->console);
    add_option(argv, "-device", "virtconsole,nr=0,chardev=console");
    add_format(argv, "-chardev", "socket,id=control,fd=%d", fds->control);
    add_option(argv, "-device", "virtserialport,nr=1,chardev=control,name=" DINV_WIRE_CONTROL_PORT);
    add_format(argv, "-chardev", "socket,id=relay,fd=%d", fds->relay);
    add_option(argv, "-device", "virtserialport,nr=2,chardev=relay,name=" DINV_WIRE_RELAY_PORT);
}

/* dinv-usernet is at the other end: a datagram is a frame. */
static void add_netdev(GPtrArray *argv, const DinvMachinePlan *plan, const DinvQemuFds *fds) {
    add_format(argv, "-netdev", "dgram,id=net0,local.type=fd,local.str=%d", fds->network);
    add_device(argv, plan, "virtio-net", SLOT_NET, ",netdev=net0,host_mtu=%u%s", plan->config->mtu,
               is_on_pci(plan) ? ",romfile=" : "");
}

/* ---- mounts ---- */

/* A device in the place of the export number `index`. */
static void add_share_device(GPtrArray *argv, const DinvMachinePlan *plan, const char *kind,
                             guint index, const char *options) {
    if (index < SLOT_EXPORTS) {
        add_device(argv, plan, kind, SLOT_FIRST_MOUNT - index, "%s", options);
    } else {
        guint function = index - SLOT_EXPORTS;
        add_format(argv, "-device", "%s-pci,bus=pcie.0,addr=%x.%x,multifunction=on%s", kind,
                   FIRST_PCI_DEVICE + function / FUNCTIONS_A_DEVICE, function % FUNCTIONS_A_DEVICE,
                   options);
    }
}

/* virtiofsd is at the other end of a socket, and works in the guest's memory. */
static void add_virtiofs(GPtrArray *argv, const DinvMachinePlan *plan, guint index, const char *tag,
                         int fd) {
    g_autofree char *options = g_strdup_printf(",chardev=%s,tag=%s", tag, tag);
    add_format(argv, "-chardev", "socket,id=%s,fd=%d", tag, fd);
    add_share_device(argv, plan, "vhost-user-fs", index, options);
}

static void add_export(GPtrArray *argv, const DinvMachinePlan *plan, guint index, const char *tag,
                       const char *path, gboolean readonly, Dinv9pSecurity security) {
    g_autofree char *escaped = double_commas(path);
    g_autofree char *options = g_strdup_printf(",fsdev=%s,mount_tag=%s", tag, tag);
    /* multidevs=remap: inode numbers stay unique when file systems are mounted below it. */
    add_format(argv, "-fsdev", "local,id=%s,path=%s,security_model=%s,multidevs=remap%s", tag,
               escaped, security == DINV_9P_PASSTHROUGH ? "passthrough" : "none",
               readonly ? ",readonly=on" : "");
    add_share_device(argv, plan, "virtio-9p", index, options);
}

static void add_mounts(GPtrArray *argv, const DinvMachinePlan *plan, const DinvQemuFds *fds,
                       Dinv9pSecurity security) {
    guint index = 0;
    for (guint i = 0; plan->mounts != NULL && i < plan->mounts->len; i++) {
        const DinvMountSpec *mount = plan->mounts->pdata[i];
        g_autofree char *tag = g_strdup_printf(DINV_WIRE_MOUNT_TAG_FORMAT, i);
        if (!mount->is_file && plan->virtiofsd != NULL) {
            add_virtiofs(argv, plan, index, tag, fds->first_share + (int)index);
            index++;
        } else if (!mount->is_file) {
            add_export(argv, plan, index++, tag, mount->source, mount->readonly, security);
        }
    }
    if (plan->files_dir != NULL) {
        add_export(argv, plan, index, DINV_WIRE_MOUNT_FILES_TAG, plan->files_dir, TRUE, security);
    }
}

char **dinv_qemu_argv(const DinvMachinePlan *plan, const DinvQemuFds *fds,
                      Dinv9pSecurity security) {
    GPtrArray *argv = g_ptr_array_new();
    add_flag(argv, plan->config->qemu);
    add_machine(argv, plan);
    add_kernel(argv, plan);
    add_disks(argv, plan);
    add_channels(argv, plan, fds);
    add_netdev(argv, plan, fds);
    add_device(argv, plan, "virtio-balloon", SLOT_BALLOON,
               ",free-page-reporting=on,deflate-on-oom=on");
    add_device(argv, plan, "virtio-rng", SLOT_RNG, "%s", "");
    add_mounts(argv, plan, fds, security);
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

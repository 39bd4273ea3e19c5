/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The root file system comes read-only and stays so. Over it goes one overlay
 * whose upper layer is in memory, as the root of all processes: /etc, /var and /root can be
 * written, and a share can be mounted at any path the user asks for, also one that the image does
 * not have. The overlay's own tmpfs was mounted at the old /run; after the move to the new root it
 * is reachable only through the overlay. The new root is then made a shared mount, as systemd does
 * and as `docker run -v …:rshared` expects.
 *
 * A virtio-fs mount whose server has died cannot be taken down: the driver waits for the answers,
 * fusectl has no entry for it and unmounting by force does not abort it. Nor can the processes be
 * killed that wait there, and they hold their container's file system on the data disk. sync(2)
 * would join them. What does work is the kernel's emergency remount: it asks nobody's leave, looks
 * at disks only, and takes them in the order in which they were mounted, ours before any share.
 */
#include "guest/mounts/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/mountinfo.h"
#include "wire/disks.h"

#define OVERLAY_BASE "/run"
#define OVERLAY_ROOT OVERLAY_BASE "/root"
#define CGROUP_ROOT  "/sys/fs/cgroup"

typedef struct {
    const char *source;
    const char *target;
    const char *type;
    unsigned long flags;
    const char *options;
    bool needed;
} KernelMount;

static const KernelMount kernel_mounts[] = {
    {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755", true},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=000", true},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", true},
    {"tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"cgroup2", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
     "nsdelegate,memory_recursiveprot", true},
    {"bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700", false},
    {"securityfs", "/sys/kernel/security", "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
     false},
    {"binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
     NULL, false},
};

static int make_directory(const char *path) {
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Takes along what the kernel (/dev) or an initramfs (the rest) has mounted already. */
static void move_early_mounts(void) {
    static const char *const names[] = {"/dev", "/proc", "/sys"};
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        char target[64];
        (void)snprintf(target, sizeof target, OVERLAY_ROOT "%s", names[index]);
        (void)make_directory(target);
        /* EINVAL where it is no mount point: nothing to take along then. */
        (void)mount(names[index], target, NULL, MS_MOVE, NULL);
    }
}

static int overlay_root(void) {
    if (mount("dinv-overlay", OVERLAY_BASE, "tmpfs", MS_NODEV, "mode=0755") < 0) {
        return -errno;
    }
    int result = make_directory(OVERLAY_BASE "/upper");
    result = result == 0 ? make_directory(OVERLAY_BASE "/work") : result;
    result = result == 0 ? make_directory(OVERLAY_ROOT) : result;
    if (result < 0) {
        return result;
    }
    if (mount(DINV_WIRE_DISK_ROOT, OVERLAY_ROOT, "overlay", 0,
              "lowerdir=/,upperdir=" OVERLAY_BASE "/upper,workdir=" OVERLAY_BASE "/work") < 0) {
        return -errno;
    }
    move_early_mounts();
    if (chdir(OVERLAY_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0) {
        return -errno;
    }
    return 0;
}

static void mount_kernel_file_systems(int *result, const char **what) {
    for (size_t index = 0; index < sizeof kernel_mounts / sizeof kernel_mounts[0]; index++) {
        const KernelMount *entry = &kernel_mounts[index];
        (void)make_directory(entry->target);
        /* EBUSY: it is mounted there already. */
        if (mount(entry->source, entry->target, entry->type, entry->flags, entry->options) == 0 ||
            errno == EBUSY) {
            continue;
        }
        int error = errno;
        if (entry->needed) {
            dinv_log_error("cannot mount %s on %s: %s", entry->type, entry->target,
                           strerror(error));
            if (*result == 0) {
                *result = -error;
                *what = entry->target;
            }
        }
    }
}

static void make_device_links(void) {
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
    };
    for (size_t index = 0; index < sizeof links / sizeof links[0]; index++) {
        (void)symlink(links[index][0], links[index][1]);
    }
}

/* The root cgroup may hold processes and distribute resources at once; all below it may not, so
 * containers' own cgroups are made next to dockerd's, not under it. */
static void enable_controllers(void) {
    char controllers[512];
    if (dinv_file_read(CGROUP_ROOT "/cgroup.controllers", controllers, sizeof controllers) < 0) {
        return;
    }
    char *rest = NULL;
    for (char *name = strtok_r(controllers, " \n", &rest); name != NULL;
         name = strtok_r(NULL, " \n", &rest)) {
        char text[64];
        (void)snprintf(text, sizeof text, "+%s", name);
        int result = dinv_file_write(CGROUP_ROOT "/cgroup.subtree_control", text);
        if (result < 0) {
            dinv_log_warning("cgroup controller %s: %s, ignoring", name, strerror(-result));
        }
    }
}

int dinv_mounts_prepare(const char **what) {
    int result = overlay_root();
    if (result < 0) {
        *what = "the overlay over the root";
        dinv_log_error("cannot make %s: %s", *what, strerror(-result));
    }
    mount_kernel_file_systems(&result, what);
    make_device_links();
    enable_controllers();
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0) {
        dinv_log_warning("cannot make the root mount shared: %s, ignoring", strerror(errno));
    }
    return result;
}

/* One pass over all mounts. How many went. */
static size_t unmount_pass(void) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return 0;
    }
    dinv_mountinfo_sort_for_unmount(&table);
    size_t gone = 0;
    for (size_t index = 0; index < table.count; index++) {
        const DinvMount *mount = &table.mounts[index];
        if (dinv_mount_is_to_unmount(mount) && umount2(mount->target, UMOUNT_NOFOLLOW) == 0) {
            gone++;
        }
    }
    dinv_mountinfo_clear(&table);
    return gone;
}

/* Whether the file system of a block device is really gone: an unmounted one lives on while another
 * mount namespace or an open file holds it, and keeps the device claimed. */
static bool is_claimed(const char *device) {
    int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    return errno == EBUSY;
}

/* Block devices that had a writable file system when the unmounting began: checked at its end. */
enum { DEVICES_MAX = 16 };
typedef struct {
    char names[DEVICES_MAX][64];
    size_t count;
} Devices;

static void collect_devices(Devices *devices) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return;
    }
    for (size_t index = 0; index < table.count && devices->count < DEVICES_MAX; index++) {
        const DinvMount *mount = &table.mounts[index];
        if (dinv_mount_holds_data(mount) && strncmp(mount->source, "/dev/", 5) == 0 &&
            strlen(mount->source) < sizeof devices->names[0]) {
            (void)snprintf(devices->names[devices->count++], sizeof devices->names[0], "%s",
                           mount->source);
        }
    }
    dinv_mountinfo_clear(&table);
}

/* Read-only is as good as unmounted for what is on the disk. */
static bool make_rest_readonly(void) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return false;
    }
    bool clean = true;
    for (size_t index = 0; index < table.count; index++) {
        const DinvMount *entry = &table.mounts[index];
        if (dinv_mount_is_to_unmount(entry) && dinv_mount_holds_data(entry) &&
            mount(NULL, entry->target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) {
            dinv_log_warning("%s is still in use: %s", entry->target, strerror(errno));
            clean = false;
        }
    }
    dinv_mountinfo_clear(&table);
    return clean;
}

bool dinv_mounts_unmount_all(void) {
    static Devices devices; /* of the first call: a later one sees no mount of them any more */
    collect_devices(&devices);
    sync();
    while (unmount_pass() > 0) {
        ;
    }
    bool clean = make_rest_readonly();
    sync();
    DinvMountTable table = {0};
    bool known = dinv_mountinfo_load(&table) == 0;
    for (size_t index = 0; index < devices.count; index++) {
        bool mounted = false;
        for (size_t other = 0; other < table.count; other++) {
            mounted = mounted || strcmp(table.mounts[other].source, devices.names[index]) == 0;
        }
        clean = clean && known && (mounted || !is_claimed(devices.names[index]));
    }
    dinv_mountinfo_clear(&table);
    return clean;
}

bool dinv_mounts_make_disks_readonly(void) {
    static bool asked;
    if (!asked) {
        asked = true;
        int result = dinv_file_write("/proc/sysrq-trigger", "u");
        if (result < 0) {
            dinv_log_warning("cannot make the disks read-only: %s, ignoring", strerror(-result));
        }
    }
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return false;
    }
    bool clean = true;
    for (size_t index = 0; index < table.count; index++) {
        const DinvMount *mount = &table.mounts[index];
        clean = clean && !(dinv_mount_holds_data(mount) && strncmp(mount->source, "/dev/", 5) == 0);
    }
    dinv_mountinfo_clear(&table);
    return clean;
}

/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The root file system comes read-only and stays so. Over it goes one overlay
 * whose upper layer is in memory, as the root of all processes: /etc, /var and /root can be
 * written, and a share can be mounted at any path the user asks for, also one that the image does
 * not have. The overlay's own tmpfs was mounted at the old /run; after the move to the new root it
 * is reachable only through the overlay. The new root is then made a shared mount, as systemd does
 * and as `docker run -v …:rshared` expects.
 */
#include "guest/mounts/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
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

static int make_mount_point(const char *path) {
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Takes along what the kernel (/dev) or an initramfs (the rest) has mounted already. */
static void move_early_mounts(void) {
    static const char *const names[] = {"/dev", "/proc", "/sys"};
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        char target[64];
        (void)snprintf(target, sizeof target, OVERLAY_ROOT "%s", names[index]);
        (void)make_mount_point(target);
        /* EINVAL where it is no mount point: nothing to take along then. */
        (void)mount(names[index], target, NULL, MS_MOVE, NULL);
    }
}

static int overlay_root(void) {
    if (mount("dinv-overlay", OVERLAY_BASE, "tmpfs", MS_NODEV, "mode=0755") < 0) {
        return -errno;
    }
    int result = make_mount_point(OVERLAY_BASE "/upper");
    result = result == 0 ? make_mount_point(OVERLAY_BASE "/work") : result;
    result = result == 0 ? make_mount_point(OVERLAY_ROOT) : result;
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
        (void)make_mount_point(entry->target);
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

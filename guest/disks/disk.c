/* SPDX-License-Identifier: MIT */
/* Mounting a disk: check if need be, mount, check thoroughly if that fails, grow, set the owner. */
#include "guest/disks/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/mountinfo.h"
#include "guest/disks/repair.h"
#include "guest/disks/superblock.h"

/* Documented in ioctl_ext4 (Documentation/filesystems/ext4); no header has it everywhere. */
#define EXT4_IOC_RESIZE_FS_NUMBER _IOW('f', 16, uint64_t)

/* virtio-blk, or User-Mode Linux's block device; both have a serial. */
static bool is_disk_name(const char *name) {
    return strncmp(name, "vd", 2) == 0 || strncmp(name, "ubd", 3) == 0;
}

static bool serial_is(const char *name, const char *serial) {
    char path[512];
    char found[64];
    (void)snprintf(path, sizeof path, "/sys/block/%s/serial", name);
    if (dinv_file_read(path, found, sizeof found) < 0) {
        return false;
    }
    found[strcspn(found, "\n")] = '\0';
    return strcmp(found, serial) == 0;
}

static int find_device(const char *serial, char *device, size_t size) {
    DIR *directory = opendir("/sys/block");
    if (directory == NULL) {
        return -errno;
    }
    int result = -ENODEV;
    for (struct dirent *entry; result == -ENODEV && (entry = readdir(directory)) != NULL;) {
        if (is_disk_name(entry->d_name) && serial_is(entry->d_name, serial)) {
            result =
                snprintf(device, size, "/dev/%s", entry->d_name) < (int)size ? 0 : -ENAMETOOLONG;
        }
    }
    closedir(directory);
    return result;
}

static int grow_open(int device_fd, int target_fd) {
    uint64_t device_size;
    if (ioctl(device_fd, BLKGETSIZE64, &device_size) < 0) {
        return -errno;
    }
    DinvDiskSuperblock super;
    int result = dinv_disk_superblock_read(device_fd, &super);
    uint64_t wanted = result == 0 ? device_size / super.block_size : 0;
    if (result < 0 || wanted <= super.blocks) {
        return result;
    }
    dinv_log_info("growing a disk from %llu to %llu MiB",
                  (unsigned long long)(super.blocks * super.block_size >> 20),
                  (unsigned long long)(device_size >> 20));
    return ioctl(target_fd, EXT4_IOC_RESIZE_FS_NUMBER, &wanted) < 0 ? -errno : 0;
}

static void grow(const char *device, const char *target) {
    int device_fd = open(device, O_RDONLY | O_CLOEXEC);
    int target_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = device_fd < 0 || target_fd < 0 ? -errno : grow_open(device_fd, target_fd);
    if (result < 0) {
        dinv_log_warning("cannot grow the file system of %s: %s, ignoring", target,
                         strerror(-result));
    }
    if (device_fd >= 0) {
        close(device_fd);
    }
    if (target_fd >= 0) {
        close(target_fd);
    }
}

static bool disk_is_mounted(const char *device, const char *target) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return false;
    }
    const DinvMount *found = dinv_mountinfo_find(&table, target);
    bool result = found != NULL && strcmp(found->source, device) == 0;
    dinv_mountinfo_clear(&table);
    return result;
}

/* A broken file system must not be written on: by default ext4 goes on after errors. */
static int mount_ext4(const char *device, const char *target) {
    return mount(device, target, "ext4", 0, "discard,errors=remount-ro") < 0 ? -errno : 0;
}

/* Whether that error of mount(2) may come from what is on the disk. */
static bool blames_content(int result) {
    return result == -EUCLEAN || result == -EINVAL || result == -EBADMSG;
}

static int set_owner(const DinvDiskConfiguration *disk) {
    if (disk->uid == (uid_t)-1 && disk->gid == (gid_t)-1) {
        return 0;
    }
    return chown(disk->target, disk->uid, disk->gid) < 0 ? -errno : 0;
}

/* A disk on its way to its target. Functions that return a result say -EINPROGRESS when a check
 * runs, at the end of which it goes on. */
typedef struct {
    DinvLoop *loop;
    const DinvDiskConfiguration *disk;
    const DinvDiskCallbacks *callbacks;
    void *user;
    char device[64];
    bool checked_thoroughly;
} Mounting;

static int mounting_start_check(Mounting *mounting, bool thorough);

static int mount_or_check(Mounting *mounting) {
    int result = mount_ext4(mounting->device, mounting->disk->target);
    if (!blames_content(result) || mounting->checked_thoroughly) {
        return result;
    }
    /* It looked good from outside. */
    return mounting_start_check(mounting, true);
}

/* Goes on after a check with that result. */
static int mounting_go_on(Mounting *mounting, int result, const char *said) {
    if (!mounting->callbacks->checked(mounting->user, mounting->disk)) {
        return -ECANCELED;
    }
    if (result == -EUCLEAN) {
        mounting->callbacks->damaged(mounting->user, mounting->disk, said);
    } else if (result == -ENOENT) {
        dinv_log_warning("there is no e2fsck in this image to check disk %s with, ignoring",
                         mounting->disk->serial);
        result = 0;
    }
    return result < 0 ? result : mount_or_check(mounting);
}

static int mounting_finish(Mounting *mounting, int result) {
    if (result == 0) {
        grow(mounting->device, mounting->disk->target);
        result = set_owner(mounting->disk);
    }
    free(mounting);
    return result;
}

static void mounting_check_ended(void *user, int result, const char *said) {
    Mounting *mounting = user;
    result = mounting_go_on(mounting, result, said);
    if (result != -EINPROGRESS) {
        const DinvDiskCallbacks *callbacks = mounting->callbacks;
        void *callbacks_user = mounting->user;
        callbacks->mounted(callbacks_user, mounting_finish(mounting, result));
    }
}

static int mounting_start_check(Mounting *mounting, bool thorough) {
    const DinvDiskRepairPlan plan = {"e2fsck", mounting->device, thorough};
    mounting->checked_thoroughly = thorough;
    mounting->callbacks->checking(mounting->user, mounting->disk);
    int result = dinv_disk_repair(mounting->loop, &plan, mounting_check_ended, mounting);
    return result == 0 ? -EINPROGRESS : mounting_go_on(mounting, result, "");
}

static int mounting_begin(Mounting *mounting) {
    int result = find_device(mounting->disk->serial, mounting->device, sizeof mounting->device);
    if (result < 0 || disk_is_mounted(mounting->device, mounting->disk->target)) {
        return result;
    }
    result = dinv_make_directories(mounting->disk->target);
    if (result < 0) {
        return result;
    }
    return dinv_disk_needs_repair(mounting->device) ? mounting_start_check(mounting, false)
                                                    : mount_or_check(mounting);
}

int dinv_disk_mount(DinvLoop *loop, const DinvDiskConfiguration *disk,
                    const DinvDiskCallbacks *callbacks, void *user) {
    Mounting *mounting = calloc(1, sizeof *mounting);
    if (mounting == NULL) {
        return -ENOMEM;
    }
    *mounting = (Mounting){.loop = loop, .disk = disk, .callbacks = callbacks, .user = user};
    int result = mounting_begin(mounting);
    return result == -EINPROGRESS ? result : mounting_finish(mounting, result);
}

int dinv_disk_usage(const char *target, DinvDiskUsage *usage) {
    struct statvfs status;
    if (statvfs(target, &status) < 0) {
        return -errno;
    }
    *usage = (DinvDiskUsage){
        .total = (uint64_t)status.f_blocks * status.f_frsize,
        .used = (uint64_t)(status.f_blocks - status.f_bfree) * status.f_frsize,
        .available = (uint64_t)status.f_bavail * status.f_frsize,
    };
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "guest/disk.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest/files.h"
#include "guest/log.h"
#include "guest/mountinfo.h"

/* Documented in ioctl_ext4 (Documentation/filesystems/ext4); no header has it everywhere. */
#define EXT4_IOC_RESIZE_FS_NUMBER _IOW('f', 16, uint64_t)

/* Of the ext4 superblock (Documentation/filesystems/ext4/super.rst), little-endian. */
enum {
    SUPER_OFFSET = 1024,
    SUPER_SIZE = 1024,
    SUPER_BLOCKS_LOW = 0x4,
    SUPER_LOG_BLOCK_SIZE = 0x18,
    SUPER_MAGIC = 0x38,
    SUPER_INCOMPATIBLE = 0x60,
    SUPER_BLOCKS_HIGH = 0x150,
    EXT4_MAGIC = 0xef53,
    INCOMPATIBLE_64BIT = 0x80,
};

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
        if (strncmp(entry->d_name, "vd", 2) == 0 && serial_is(entry->d_name, serial)) {
            result =
                snprintf(device, size, "/dev/%s", entry->d_name) < (int)size ? 0 : -ENAMETOOLONG;
        }
    }
    closedir(directory);
    return result;
}

static uint32_t little32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

/* Size of the ext4 on `fd` in blocks and of one block in bytes. */
static int read_super(int fd, uint64_t *blocks, uint64_t *block_size) {
    uint8_t super[SUPER_SIZE];
    if (pread(fd, super, sizeof super, SUPER_OFFSET) != (ssize_t)sizeof super) {
        return -EIO;
    }
    uint32_t log_size = little32(super + SUPER_LOG_BLOCK_SIZE);
    if ((little32(super + SUPER_MAGIC) & 0xffffu) != EXT4_MAGIC || log_size > 6) {
        return -EINVAL;
    }
    *blocks = little32(super + SUPER_BLOCKS_LOW);
    if ((little32(super + SUPER_INCOMPATIBLE) & INCOMPATIBLE_64BIT) != 0) {
        *blocks |= (uint64_t)little32(super + SUPER_BLOCKS_HIGH) << 32;
    }
    *block_size = UINT64_C(1024) << log_size;
    return 0;
}

static int grow_open(int device_fd, int target_fd) {
    uint64_t device_size;
    if (ioctl(device_fd, BLKGETSIZE64, &device_size) < 0) {
        return -errno;
    }
    uint64_t blocks;
    uint64_t block_size;
    int result = read_super(device_fd, &blocks, &block_size);
    uint64_t wanted = result == 0 ? device_size / block_size : 0;
    if (result < 0 || wanted <= blocks) {
        return result;
    }
    dinv_log_info("growing the data disk from %llu to %llu MiB",
                  (unsigned long long)(blocks * block_size >> 20),
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

static bool is_mounted(const char *device, const char *target) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return false;
    }
    const DinvMount *found = dinv_mountinfo_find(&table, target);
    bool result = found != NULL && strcmp(found->source, device) == 0;
    dinv_mountinfo_clear(&table);
    return result;
}

int dinv_disk_mount(const DinvDiskConfiguration *disk) {
    char device[64];
    int result = find_device(disk->serial, device, sizeof device);
    if (result < 0) {
        return result;
    }
    if (!is_mounted(device, disk->target)) {
        result = dinv_make_directories(disk->target);
        /* A broken file system must not be written on: by default ext4 goes on after errors. */
        if (result == 0 &&
            mount(device, disk->target, "ext4", 0, "discard,errors=remount-ro") < 0) {
            result = -errno;
        }
    }
    if (result == 0) {
        grow(device, disk->target);
    }
    return result;
}

int dinv_disk_usage(const char *target, uint64_t *total, uint64_t *available) {
    struct statvfs status;
    if (statvfs(target, &status) < 0) {
        return -errno;
    }
    *total = (uint64_t)status.f_blocks * status.f_frsize;
    *available = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}

int dinv_disk_trim(const char *target, uint64_t *bytes) {
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    struct fstrim_range range = {.len = UINT64_MAX};
    int result = ioctl(fd, FITRIM, &range) < 0 ? -errno : 0;
    close(fd);
    if (result == 0) {
        *bytes = range.len;
    }
    return result;
}

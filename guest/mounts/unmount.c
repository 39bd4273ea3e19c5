/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Unmounting is done in passes over all mounts, as one may hold another; what
 * is still in use then is made read-only. Whether that was enough is asked of the block devices.
 *
 * A virtio-fs mount whose server has died cannot be taken down: the driver waits for the answers,
 * fusectl has no entry for it and unmounting by force does not abort it. Nor can the processes be
 * killed that wait there, and they hold their container's file system on the data disk. sync(2)
 * would join them. What does work is the kernel's emergency remount: it asks nobody's leave, looks
 * at disks only, and takes them in the order in which they were mounted, ours before any share.
 */
#include "guest/mounts/unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/mountinfo.h"
#include "guest/mounts/devices.h"

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

static void collect_devices(DinvMountsDevices *devices) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) == 0) {
        dinv_mounts_devices_add(devices, &table);
        dinv_mountinfo_clear(&table);
    }
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
    /* From the first call on: a later one may see no mount of them any more. */
    static DinvMountsDevices devices;
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

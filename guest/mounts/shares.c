/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A directory is mounted on its target. All single files come in one share,
 * which is mounted once in a place of our own; each is bound from there to its target. A target may
 * lie in an earlier share: what is missing of it is then made in the user's directory, as `docker
 * run -v` does.
 */
#include "guest/mounts/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/mountinfo.h"
#include "wire/mounts.h"

#define FILE_SHARES "/run/dinv-shares"

static bool is_mounted(const DinvMountConfiguration *share, const char *target) {
    DinvMountTable table;
    if (dinv_mountinfo_load(&table) < 0) {
        return false;
    }
    const DinvMount *found = dinv_mountinfo_find(&table, target);
    bool result = found != NULL && strcmp(found->type, share->driver) == 0 &&
                  strcmp(found->source, share->tag) == 0;
    dinv_mountinfo_clear(&table);
    return result;
}

static int mount_with(const DinvMountConfiguration *share, const char *target,
                      const char *options) {
    char all[1024];
    const char *fixed = strcmp(share->driver, DINV_WIRE_MOUNT_DRIVER_9P) == 0
                            ? "trans=virtio,version=9p2000.L"
                            : "";
    int len = snprintf(all, sizeof all, "%s%s%s", fixed,
                       fixed[0] != '\0' && options[0] != '\0' ? "," : "", options);
    if (len >= (int)sizeof all) {
        return -E2BIG;
    }
    unsigned long flags = share->readonly ? MS_RDONLY : 0;
    return mount(share->tag, target, share->driver, flags, all) < 0 ? -errno : 0;
}

static int mount_directory(const DinvMountConfiguration *share, const char *target) {
    if (is_mounted(share, target)) {
        return 0;
    }
    int result = dinv_make_directories(target);
    if (result < 0) {
        return result;
    }
    result = mount_with(share, target, share->options);
    if (result == -EINVAL && share->fallback_options != NULL) {
        result = mount_with(share, target, share->fallback_options);
    }
    return result;
}

/* An empty file to mount upon, if there is none. */
static int make_file(const char *path) {
    char parent[4096];
    if (strlen(path) >= sizeof parent) {
        return -ENAMETOOLONG;
    }
    (void)snprintf(parent, sizeof parent, "%s", path);
    int result = dinv_make_directories(dirname(parent));
    if (result < 0) {
        return result;
    }
    struct stat status;
    if (stat(path, &status) == 0) {
        return S_ISDIR(status.st_mode) ? -EISDIR : 0;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    (void)close(fd);
    return 0;
}

static int mount_file(const DinvMountConfiguration *share) {
    char place[4096];
    char file[sizeof place];
    if (mkdir(FILE_SHARES, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    if (snprintf(place, sizeof place, FILE_SHARES "/%s", share->tag) >= (int)sizeof place) {
        return -ENAMETOOLONG;
    }
    int result = mount_directory(share, place);
    if (result < 0 || is_mounted(share, share->target)) {
        return result;
    }
    result = make_file(share->target);
    if (result < 0) {
        return result;
    }
    if (snprintf(file, sizeof file, "%s/%s", place, share->file) >= (int)sizeof file) {
        return -ENAMETOOLONG;
    }
    return mount(file, share->target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int dinv_mount_share(const DinvMountConfiguration *share) {
    return share->file != NULL ? mount_file(share) : mount_directory(share, share->target);
}

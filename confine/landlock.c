/* SPDX-License-Identifier: MIT */
/*
 * Landlock, by its system calls: linux/landlock.h of this machine may be older than the kernel that
 * it runs on. Every right that the kernel knows is handled; rules grant a few for single files.
 */
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"

#define LANDLOCK_VERSION      1u /* a flag: asks for the version */
#define LANDLOCK_PATH_BENEATH 1
#define LANDLOCK_SCOPES       3u /* abstract sockets and signals, from version 6 on */

#define FS_EXECUTE  (UINT64_C(1) << 0)
#define FS_WRITE    (UINT64_C(1) << 1)
#define FS_READ     (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)

typedef struct {
    uint64_t access_fs, access_net, scoped;
} LandlockRuleset;

typedef struct {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed)) LandlockPathBeneath;

static bool add_file(int ruleset, const DinvConfineFile *file) {
    struct stat status;
    if (fstat(file->fd, &status) < 0) {
        return false;
    }
    LandlockPathBeneath rule = {
        .allowed_access = (file->read ? FS_READ : 0) | (file->write ? FS_WRITE : 0) |
                          (file->execute ? FS_EXECUTE : 0) |
                          (file->read && S_ISDIR(status.st_mode) ? FS_READ_DIR : 0),
        .parent_fd = file->fd,
    };
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) == 0;
}

bool dinv_confine_landlock(const DinvConfineFile *files, size_t count, bool *scope) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    *scope = false;
    if (version < 1) {
        return false;
    }
    unsigned rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    LandlockRuleset ruleset = {
        .access_fs = (UINT64_C(1) << rights) - 1,
        .scoped = version >= 6 ? LANDLOCK_SCOPES : 0,
    };
    size_t size = version >= 6 ? sizeof(ruleset) : sizeof(ruleset.access_fs);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0) {
        return false;
    }
    bool done = true;
    for (size_t i = 0; i < count && done; i++) {
        done = add_file(fd, &files[i]);
    }
    done = done && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    (void)close(fd);
    *scope = done && version >= 6;
    return done;
}

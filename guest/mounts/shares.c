/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A directory is mounted on its target. All single files come in one share,
 * which is mounted once in a place of our own; each is bound from there to its target. A target may
 * lie in an earlier share: what is missing of it is then made in the user's directory, as `docker
 * run -v` does. A kernel may lack an option: then the share is mounted with other
 * ones, and that is noted and said.
 */
#include "guest/mounts/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"
#include "guest/base/mountinfo.h"
#include "wire/mounts.h"

/* A share that was mounted with its fallback options; by its tag, as it stays so when `configure`
 * comes again. */
typedef struct Fallback Fallback;
struct Fallback {
    Fallback *next;
    char tag[];
};

struct DinvMountsShares {
    DinvMountsSharesOptions options;
    Fallback *fallbacks;
    size_t fallback_mounts;
};

static bool share_is_mounted(const DinvMountConfiguration *share, const char *target) {
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

static bool has_fallback(const DinvMountsShares *shares, const char *tag) {
    const Fallback *fallback = shares->fallbacks;
    while (fallback != NULL && strcmp(fallback->tag, tag) != 0) {
        fallback = fallback->next;
    }
    return fallback != NULL;
}

/* Without the memory for it, it is only not told of. */
static void note_fallback(DinvMountsShares *shares, const char *tag) {
    size_t size = strlen(tag) + 1;
    Fallback *fallback = has_fallback(shares, tag) ? NULL : malloc(sizeof *fallback + size);
    if (fallback != NULL) {
        memcpy(fallback->tag, tag, size);
        fallback->next = shares->fallbacks;
        shares->fallbacks = fallback;
    }
}

static int mount_with(const DinvMountsShares *shares, const DinvMountConfiguration *share,
                      const char *target, const char *options) {
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
    return shares->options.mount(share->tag, target, share->driver, flags, all) < 0 ? -errno : 0;
}

static int mount_directory(DinvMountsShares *shares, const DinvMountConfiguration *share,
                           const char *target) {
    if (share_is_mounted(share, target)) {
        return 0;
    }
    int result = dinv_make_directories(target);
    if (result < 0) {
        return result;
    }
    result = mount_with(shares, share, target, share->options);
    if (result == -EINVAL && share->fallback_options != NULL) {
        result = mount_with(shares, share, target, share->fallback_options);
        if (result == 0) {
            note_fallback(shares, share->tag);
        }
    }
    return result;
}

/* An empty file to mount upon, if there is none. */
static int make_file(const char *path) {
    int result = dinv_make_parents(path);
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

static int mount_file(DinvMountsShares *shares, const DinvMountConfiguration *share) {
    char place[4096];
    char file[sizeof place];
    const char *files = shares->options.files_directory;
    if (mkdir(files, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    if (snprintf(place, sizeof place, "%s/%s", files, share->tag) >= (int)sizeof place) {
        return -ENAMETOOLONG;
    }
    int result = mount_directory(shares, share, place);
    if (result < 0 || share_is_mounted(share, share->target)) {
        return result;
    }
    result = make_file(share->target);
    if (result < 0) {
        return result;
    }
    if (snprintf(file, sizeof file, "%s/%s", place, share->file) >= (int)sizeof file) {
        return -ENAMETOOLONG;
    }
    return shares->options.mount(file, share->target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* Adds the mount's target to a list that is for people; false when the list ends there, as there
 * is no more room. */
static bool add_target_name(char *names, size_t size, const char *name) {
    size_t len = strlen(names);
    const char *separator = len > 0 ? ", " : "";
    bool fits = strlen(separator) + strlen(name) + sizeof ", …" <= size - len;
    (void)snprintf(names + len, size - len, "%s%s", separator, fits ? name : "…");
    return fits;
}

/* Says once what is not as it was asked for. */
static void tell_of_fallbacks(const DinvMountsShares *shares, const DinvMountConfiguration *mounts,
                              size_t count) {
    char names[256] = "";
    bool has_room = true;
    const DinvMountConfiguration *example = NULL;
    for (size_t index = 0; index < count; index++) {
        if (has_fallback(shares, mounts[index].tag)) {
            example = &mounts[index];
            has_room = has_room && add_target_name(names, sizeof names, example->target);
        }
    }
    if (example != NULL && example->fallback_options != NULL) {
        dinv_log_warning("this kernel does not know all of the options \"%s\": mounts with \"%s\" "
                         "instead, which are slower: %zu (%s), ignoring",
                         example->options, example->fallback_options, shares->fallback_mounts,
                         names);
    }
}

static size_t count_fallbacks(const DinvMountsShares *shares, const DinvMountConfiguration *mounts,
                              size_t count) {
    size_t found = 0;
    for (size_t index = 0; index < count; index++) {
        found += has_fallback(shares, mounts[index].tag) ? 1 : 0;
    }
    return found;
}

DinvMountsShares *dinv_mounts_shares_new(const DinvMountsSharesOptions *options) {
    DinvMountsShares *shares = calloc(1, sizeof *shares);
    if (shares == NULL) {
        return NULL;
    }
    shares->options = *options;
    if (options->mount == NULL) {
        shares->options.mount = mount;
        shares->options.files_directory = "/run/dinv-shares";
    }
    return shares;
}

void dinv_mounts_shares_free(DinvMountsShares *shares) {
    if (shares == NULL) {
        return;
    }
    while (shares->fallbacks != NULL) {
        Fallback *fallback = shares->fallbacks;
        shares->fallbacks = fallback->next;
        free(fallback);
    }
    free(shares);
}

int dinv_mounts_shares_mount(DinvMountsShares *shares, const DinvMountConfiguration *mounts,
                             size_t count, size_t *failed) {
    const Fallback *before = shares->fallbacks;
    int result = 0;
    size_t done = 0;
    while (result == 0 && done < count) {
        const DinvMountConfiguration *share = &mounts[done];
        result = share->file != NULL ? mount_file(shares, share)
                                     : mount_directory(shares, share, share->target);
        done += result == 0 ? 1 : 0;
    }
    shares->fallback_mounts = count_fallbacks(shares, mounts, done);
    if (shares->fallbacks != before) {
        tell_of_fallbacks(shares, mounts, done);
    }
    if (result < 0) {
        *failed = done;
    }
    return result;
}

size_t dinv_mounts_shares_count_fallbacks(const DinvMountsShares *shares) {
    return shares->fallback_mounts;
}

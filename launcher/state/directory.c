/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The lock is an open-file-description lock on the file `lock`: it goes when
 * the last copy of the descriptor is closed, so it cannot outlive its holder, whatever ends that,
 * and QEMU does not inherit it (close-on-exec). The text in the file only tells people who holds
 * it: "pid host". It is taken before data.img is looked at, so nobody else can be changing that.
 */
#include "launcher/state/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "launcher/base/directories.h"
#include "launcher/state/image.h"

#define LOCK_NAME  "lock"
#define HOLDER_MAX 256

/* Below this much free space, pulling one larger image may fail. */
#define FREE_WARNING (G_GUINT64_CONSTANT(2) << 30)

G_DEFINE_QUARK(dinv - disk - error - quark, dinv_state_error)

struct DinvState {
    const DinvConfig *config;
    int lock_fd;
    char *images[DINV_STATE_DISK_KINDS]; /* paths; NULL: not wanted */
};

/* Who wrote into the lock file, "pid 12 on host abc"; untrusted text, but only shown. */
static char *read_holder(int fd) {
    char text[HOLDER_MAX];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length <= 0) {
        return g_strdup("pid unknown");
    }
    text[length] = '\0';
    g_autofree char *escaped = g_strescape(g_strstrip(text), NULL);
    g_auto(GStrv) words = g_strsplit(escaped, " ", 2);
    return g_strdup_printf("pid %s on host %s", words[0], words[1] == NULL ? "unknown" : words[1]);
}

static void set_in_use(const char *state_dir, int lock_fd, GError **error) {
    g_autofree char *holder = read_holder(lock_fd);
    g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IN_USE,
                "DINV_STATE_DIR: \"%s\" is in use by another dinv (%s)", state_dir, holder);
}

/* Whether somebody else holds the lock; a state directory without a lock file is free. */
static gboolean check_lock(const char *state_dir, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, LOCK_NAME, NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? TRUE : dinv_state_fail(error, errno, "cannot open \"%s\"", path);
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    gboolean free_to_take = TRUE;
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0) {
        free_to_take = dinv_state_fail(error, errno, "cannot lock \"%s\"", path);
    } else if (lock.l_type != F_UNLCK) {
        set_in_use(state_dir, fd, error);
        free_to_take = FALSE;
    }
    close(fd);
    return free_to_take;
}

/* The locked descriptor, or -1. */
static int take_lock(const char *state_dir, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, LOCK_NAME, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        dinv_state_fail(error, errno, "cannot make \"%s\"", path);
        return -1;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES) {
            set_in_use(state_dir, fd, error);
        } else {
            dinv_state_fail(error, errno, "cannot lock \"%s\"", path);
        }
        close(fd);
        return -1;
    }
    g_autofree char *holder = g_strdup_printf("%d %s\n", (int)getpid(), g_get_host_name());
    /* For people only: the lock holds without it, so a full disk is no reason to stop here. */
    if (ftruncate(fd, 0) < 0 || pwrite(fd, holder, strlen(holder), 0) < 0) {
        g_debug("cannot write \"%s\": %s, ignoring", path, g_strerror(errno));
    }
    return fd;
}

static gboolean is_disk_wanted(DinvStateDisk kind, const DinvConfig *config) {
    return kind != DINV_STATE_DISK_VOLUME || config->volume_path != NULL;
}

/* Whether dinv has used the directory before: what is there under a disk's name is its own then. */
static gboolean is_ours(const char *state_dir) {
    g_autofree char *path = g_build_filename(state_dir, LOCK_NAME, NULL);
    struct stat status;
    return lstat(path, &status) == 0;
}

static void warn_of_size(const DinvConfig *config, const DinvStateImage *image, guint64 bytes,
                         GPtrArray *warnings) {
    if (bytes > image->bytes) {
        g_ptr_array_add(warnings,
                        g_strdup_printf("%s: \"%s/%s\" has %" G_GUINT64_FORMAT
                                        " MiB already and is never shrunk to %" G_GUINT64_FORMAT
                                        " MiB, ignoring",
                                        image->size_setting, config->state_dir, image->name,
                                        bytes >> 20, image->bytes >> 20));
    }
}

static gboolean look_at_images(const DinvConfig *config, DinvStateFindings *state,
                               GPtrArray *warnings, GError **error) {
    gboolean ours = is_ours(config->state_dir);
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        const DinvStateImage image = dinv_state_image_of(kind, config);
        if (!is_disk_wanted(kind, config)) {
            continue;
        }
        guint64 bytes = 0;
        if (!dinv_state_image_look(config->state_dir, &image, ours, &bytes, error)) {
            return FALSE;
        }
        warn_of_size(config, &image, bytes, warnings);
        if (kind == DINV_STATE_DISK_DATA) {
            state->image_exists = bytes != 0;
            state->image_bytes = bytes;
        }
    }
    dinv_state_image_list_kept(config->state_dir, warnings);
    return TRUE;
}

gboolean dinv_state_check(const DinvConfig *config, DinvStateFindings *state, GPtrArray *warnings,
                          GError **error) {
    g_autofree char *nearest = dinv_directory_nearest(config->state_dir);
    DinvStateFindings result = {.exists = strcmp(nearest, config->state_dir) == 0};
    if (!g_file_test(nearest, G_FILE_TEST_IS_DIR)) {
        return dinv_state_fail(error, ENOTDIR, "\"%s\"", nearest);
    }
    if (access(nearest, W_OK | X_OK) < 0) {
        return dinv_state_fail(error, errno, "cannot write to \"%s\"", nearest);
    }
    if (result.exists && (!check_lock(config->state_dir, error) ||
                          !look_at_images(config, &result, warnings, error))) {
        return FALSE;
    }
    struct statvfs space;
    if (statvfs(nearest, &space) < 0) {
        return dinv_state_fail(error, errno, "cannot ask for the free space of \"%s\"", nearest);
    }
    result.free_bytes = (guint64)space.f_bavail * space.f_frsize;
    if (result.free_bytes == 0) {
        return dinv_state_fail(error, ENOSPC, "cannot write to \"%s\"", nearest);
    }
    if (result.free_bytes < FREE_WARNING) {
        g_ptr_array_add(warnings,
                        g_strdup_printf("DINV_STATE_DIR: \"%s\" has only %" G_GUINT64_FORMAT
                                        " MiB free; the guest is paused when it is full",
                                        nearest, result.free_bytes >> 20));
    }
    *state = result;
    return TRUE;
}

/* Adds to a DINV_STATE_ERROR_DAMAGED what has become of the disk. */
static void keep_aside(DinvState *disk, const DinvStateImage *image, GError **error) {
    g_autoptr(GError) failure = NULL;
    g_autofree char *kept = dinv_state_image_keep_aside(disk->config->state_dir, image, &failure);
    if (error == NULL) {
        return;
    }
    g_autofree char *message =
        kept != NULL
            ? g_strdup_printf("%s; it is kept as \"%s\", and the next start makes a new one",
                              (*error)->message, kept)
            : g_strdup_printf("%s; it must be moved out of the way, but %s", (*error)->message,
                              failure->message);
    g_free((*error)->message);
    (*error)->message = g_steal_pointer(&message);
}

static gboolean open_image(DinvState *disk, DinvStateDisk kind, gboolean ours, GError **error) {
    const char *state_dir = disk->config->state_dir;
    const DinvStateImage image = dinv_state_image_of(kind, disk->config);
    g_autoptr(GError) problem = NULL;
    guint64 bytes = 0;
    if (!dinv_state_image_look(state_dir, &image, ours, &bytes, &problem)) {
        if (g_error_matches(problem, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED)) {
            keep_aside(disk, &image, &problem);
        }
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    disk->images[kind] = g_build_filename(state_dir, image.name, NULL);
    return dinv_state_image_provide(state_dir, &image, bytes, error);
}

DinvState *dinv_state_open(const DinvConfig *config, GError **error) {
    g_autoptr(DinvState) disk = g_new0(DinvState, 1);
    disk->config = config;
    disk->lock_fd = -1;
    if (g_mkdir_with_parents(config->state_dir, 0700) < 0) {
        dinv_state_fail(error, errno, "cannot make \"%s\"", config->state_dir);
        return NULL;
    }
    gboolean ours = is_ours(config->state_dir);
    disk->lock_fd = take_lock(config->state_dir, error);
    if (disk->lock_fd < 0) {
        return NULL;
    }
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        if (is_disk_wanted(kind, config) && !open_image(disk, kind, ours, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&disk);
}

const char *dinv_state_get_image(const DinvState *disk, DinvStateDisk kind) {
    return disk->images[kind];
}

char *dinv_state_keep_aside(DinvState *disk, DinvStateDisk kind, GError **error) {
    const DinvStateImage image = dinv_state_image_of(kind, disk->config);
    return dinv_state_image_keep_aside(disk->config->state_dir, &image, error);
}

void dinv_state_free(DinvState *disk) {
    if (disk == NULL) {
        return;
    }
    if (disk->lock_fd >= 0) {
        close(disk->lock_fd);
    }
    for (DinvStateDisk kind = 0; kind < DINV_STATE_DISK_KINDS; kind++) {
        g_free(disk->images[kind]);
    }
    g_free(disk);
}

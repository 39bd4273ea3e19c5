/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The lock is an open-file-description lock on the file `lock`: it goes when
 * the last copy of the descriptor is closed, so it cannot outlive its holder, whatever ends that,
 * and QEMU does not inherit it (close-on-exec). The text in the file only tells people who holds
 * it: "pid host". It is taken before data.img is looked at, so nobody else can be changing that.
 */
#include "launcher/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "images/ext4.h"
#include "images/info.h"

#define LOCK_NAME    "lock"
#define DATA_NAME    "data.img"
#define CONSOLE_NAME "console.log"
#define HOLDER_MAX   256

/* Below this much free space, pulling one larger image may fail. */
#define FREE_WARNING (G_GUINT64_CONSTANT(2) << 30)

G_DEFINE_QUARK(dinv - disk - error - quark, dinv_disk_error)

struct DinvDisk {
    int lock_fd;
    char *data_image;
    char *console_log;
};

static gboolean fail(GError **error, int error_number, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Sets "MESSAGE: strerror"; always FALSE. */
static gboolean fail(GError **error, int error_number, const char *format, ...) {
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, DINV_DISK_ERROR, DINV_DISK_ERROR_FAILED, "DINV_STATE_DIR: %s: %s", text,
                g_strerror(error_number));
    return FALSE;
}

/* Who wrote into the lock file, "pid 12 on host abc"; untrusted text, but only shown. */
static char *read_holder(int fd) {
    char text[HOLDER_MAX];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    g_autofree char *escaped = NULL;
    g_auto(GStrv) words = NULL;

    if (length <= 0) {
        return g_strdup("pid unknown");
    }
    text[length] = '\0';
    escaped = g_strescape(g_strstrip(text), NULL);
    words = g_strsplit(escaped, " ", 2);
    return g_strdup_printf("pid %s on host %s", words[0], words[1] == NULL ? "unknown" : words[1]);
}

static void set_in_use(const char *state_dir, int lock_fd, GError **error) {
    g_autofree char *holder = read_holder(lock_fd);

    g_set_error(error, DINV_DISK_ERROR, DINV_DISK_ERROR_IN_USE,
                "DINV_STATE_DIR: \"%s\" is in use by another dinv (%s)", state_dir, holder);
}

/* Whether somebody else holds the lock; a state directory without a lock file is free. */
static gboolean check_lock(const char *state_dir, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, LOCK_NAME, NULL);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    gboolean free_to_take = TRUE;

    if (fd < 0) {
        return errno == ENOENT ? TRUE : fail(error, errno, "cannot open \"%s\"", path);
    }
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0) {
        free_to_take = fail(error, errno, "cannot lock \"%s\"", path);
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
    g_autofree char *holder = g_strdup_printf("%d %s\n", (int)getpid(), g_get_host_name());
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        fail(error, errno, "cannot make \"%s\"", path);
        return -1;
    }
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES) {
            set_in_use(state_dir, fd, error);
        } else {
            fail(error, errno, "cannot lock \"%s\"", path);
        }
        close(fd);
        return -1;
    }
    /* For people only: the lock holds without it, so a full disk is no reason to stop here. */
    if (ftruncate(fd, 0) < 0 || pwrite(fd, holder, strlen(holder), 0) < 0) {
        g_debug("cannot write \"%s\": %s, ignoring", path, g_strerror(errno));
    }
    return fd;
}

/* Looks at what may be data.img; a missing one is fine. */
static gboolean look_at_image(const DinvConfig *config, DinvDiskState *state, GPtrArray *warnings,
                              GError **error) {
    g_autofree char *path = g_build_filename(config->state_dir, DATA_NAME, NULL);
    g_autoptr(GError) failure = NULL;
    struct stat status;

    if (lstat(path, &status) < 0) {
        return errno == ENOENT ? TRUE : fail(error, errno, "cannot look at \"%s\"", path);
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, DINV_DISK_ERROR, DINV_DISK_ERROR_IMAGE,
                    "DINV_STATE_DIR: \"%s\" is not a regular file", path);
        return FALSE;
    }
    if (access(path, R_OK | W_OK) < 0) {
        return fail(error, errno, "cannot write to \"%s\"", path);
    }
    if (!dinv_image_check_data(path, NULL, &failure)) {
        g_set_error(error, DINV_DISK_ERROR, DINV_DISK_ERROR_IMAGE, "DINV_STATE_DIR: %s",
                    failure->message);
        return FALSE;
    }
    state->image_exists = TRUE;
    state->image_bytes = (guint64)status.st_size;
    if (state->image_bytes > config->disk_bytes) {
        g_ptr_array_add(warnings,
                        g_strdup_printf("DINV_DISK_SIZE: \"%s\" has %" G_GUINT64_FORMAT
                                        " MiB already and is never shrunk to %" G_GUINT64_FORMAT
                                        " MiB, ignoring",
                                        path, state->image_bytes >> 20, config->disk_bytes >> 20));
    }
    return TRUE;
}

/* The directory itself, or the nearest one above that exists. */
static char *nearest_existing(const char *path) {
    char *candidate = g_strdup(path);
    struct stat status;

    while (strcmp(candidate, "/") != 0 && stat(candidate, &status) < 0 && errno == ENOENT) {
        char *parent = g_path_get_dirname(candidate);

        g_free(candidate);
        candidate = parent;
    }
    return candidate;
}

gboolean dinv_disk_check(const DinvConfig *config, DinvDiskState *state, GPtrArray *warnings,
                         GError **error) {
    g_autofree char *nearest = nearest_existing(config->state_dir);
    DinvDiskState result = {.exists = strcmp(nearest, config->state_dir) == 0};
    struct statvfs space;

    if (!g_file_test(nearest, G_FILE_TEST_IS_DIR)) {
        return fail(error, ENOTDIR, "\"%s\"", nearest);
    }
    if (access(nearest, W_OK | X_OK) < 0) {
        return fail(error, errno, "cannot write to \"%s\"", nearest);
    }
    if (result.exists && (!check_lock(config->state_dir, error) ||
                          !look_at_image(config, &result, warnings, error))) {
        return FALSE;
    }
    if (statvfs(nearest, &space) < 0) {
        return fail(error, errno, "cannot ask for the free space of \"%s\"", nearest);
    }
    result.free_bytes = (guint64)space.f_bavail * space.f_frsize;
    if (result.free_bytes == 0) {
        return fail(error, ENOSPC, "cannot write to \"%s\"", nearest);
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

/* Makes data.img, or extends it. */
static gboolean provide_image(const char *path, const DinvDiskState *state, guint64 bytes,
                              GError **error) {
    g_autoptr(GError) failure = NULL;

    if (state->image_exists ? dinv_ext4_extend_file(path, bytes, &failure)
                            : dinv_ext4_create_data_disk(path, bytes, &failure)) {
        return TRUE;
    }
    g_set_error(error, DINV_DISK_ERROR, DINV_DISK_ERROR_FAILED, "DINV_STATE_DIR: %s",
                failure->message);
    return FALSE;
}

DinvDisk *dinv_disk_open(const DinvConfig *config, GPtrArray *warnings, GError **error) {
    g_autoptr(DinvDisk) disk = g_new0(DinvDisk, 1);
    DinvDiskState state = {0};

    disk->lock_fd = -1;
    disk->data_image = g_build_filename(config->state_dir, DATA_NAME, NULL);
    disk->console_log = g_build_filename(config->state_dir, CONSOLE_NAME, NULL);
    if (g_mkdir_with_parents(config->state_dir, 0700) < 0) {
        fail(error, errno, "cannot make \"%s\"", config->state_dir);
        return NULL;
    }
    disk->lock_fd = take_lock(config->state_dir, error);
    if (disk->lock_fd < 0) {
        return NULL;
    }
    if (!look_at_image(config, &state, warnings, error) ||
        !provide_image(disk->data_image, &state, config->disk_bytes, error)) {
        return NULL;
    }
    return g_steal_pointer(&disk);
}

const char *dinv_disk_get_data_image(const DinvDisk *disk) {
    return disk->data_image;
}

const char *dinv_disk_get_console_log(const DinvDisk *disk) {
    return disk->console_log;
}

void dinv_disk_free(DinvDisk *disk) {
    if (disk == NULL) {
        return;
    }
    if (disk->lock_fd >= 0) {
        close(disk->lock_fd);
    }
    g_free(disk->data_image);
    g_free(disk->console_log);
    g_free(disk);
}

/* SPDX-License-Identifier: MIT */
/* A disk's file: looked at, made, extended, and kept aside when it is damaged. */
#include "launcher/state/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext4/create.h"
#include "launcher/base/directories.h"

#define KEPT_MARK ".damaged-"
/* Names for disks that are damaged within one second. */
#define KEPT_MAX 100u

gboolean dinv_state_fail(GError **error, int error_number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_FAILED, "DINV_STATE_DIR: %s: %s", text,
                g_strerror(error_number));
    return FALSE;
}

DinvStateImage dinv_state_image_of(DinvStateDisk kind, const DinvConfig *config) {
    switch (kind) {
    case DINV_STATE_DISK_DATA:
        return (DinvStateImage){"data.img", DINV_EXT4_IMAGE_DATA, config->disk_bytes,
                                "DINV_DISK_SIZE"};
    case DINV_STATE_DISK_VOLUME:
        return (DinvStateImage){"volume.img", DINV_EXT4_IMAGE_VOLUME, config->volume_bytes,
                                "DINV_VOLUME_SIZE"};
    }
    g_assert_not_reached();
}

/* What dinv_ext4_image_check_disk() found, as an error of the state directory. */
static gboolean set_image_error(const DinvStateImage *image, const char *path, gboolean is_ours,
                                const GError *problem, GError **error) {
    gboolean damaged =
        g_error_matches(problem, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_NOT_EXT4) ||
        g_error_matches(problem, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION) ||
        g_error_matches(problem, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_TRUNCATED);
    if (damaged && is_ours) {
        g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_DAMAGED, "DINV_STATE_DIR: %s",
                    problem->message);
    } else if (damaged) {
        g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IMAGE,
                    "DINV_STATE_DIR: %s; move it out of the way, a %s of that name is needed",
                    problem->message, dinv_ext4_image_kind_text(image->kind));
    } else {
        g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_FAILED, "DINV_STATE_DIR: \"%s\": %s",
                    path, problem->message);
    }
    return FALSE;
}

gboolean dinv_state_image_look(const char *state_dir, const DinvStateImage *image, gboolean is_ours,
                               guint64 *bytes, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, image->name, NULL);
    struct stat status;
    if (lstat(path, &status) < 0) {
        if (errno != ENOENT) {
            return dinv_state_fail(error, errno, "cannot look at \"%s\"", path);
        }
        *bytes = 0;
        return TRUE;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_IMAGE,
                    "DINV_STATE_DIR: \"%s\" is not a regular file", path);
        return FALSE;
    }
    if (access(path, R_OK | W_OK) < 0) {
        return dinv_state_fail(error, errno, "cannot write to \"%s\"", path);
    }
    g_autoptr(GError) problem = NULL;
    if (!dinv_ext4_image_check_disk(path, image->kind, NULL, &problem)) {
        return set_image_error(image, path, is_ours, problem, error);
    }
    *bytes = (guint64)status.st_size;
    return TRUE;
}

gboolean dinv_state_image_provide(const char *state_dir, const DinvStateImage *image, guint64 bytes,
                                  GError **error) {
    g_autofree char *path = g_build_filename(state_dir, image->name, NULL);
    g_autoptr(GError) failure = NULL;
    gboolean provided;
    if (bytes != 0) {
        provided = dinv_ext4_extend_file(path, image->bytes, &failure);
    } else if (image->kind == DINV_EXT4_IMAGE_VOLUME) {
        provided = dinv_ext4_create_volume(path, image->bytes, &failure);
    } else {
        provided = dinv_ext4_create_data_disk(path, image->bytes, &failure);
    }
    if (!provided) {
        g_set_error(error, DINV_STATE_ERROR, DINV_STATE_ERROR_FAILED, "DINV_STATE_DIR: %s",
                    failure->message);
    }
    return provided;
}

/* As rename(2), never over another file. Not every file system can do that in one step. */
static int rename_to_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (link(from, to) < 0) {
        return -1;
    }
    return unlink(from);
}

char *dinv_state_image_keep_aside(const char *state_dir, const DinvStateImage *image,
                                  GError **error) {
    g_autofree char *path = g_build_filename(state_dir, image->name, NULL);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    for (guint attempt = 1; attempt <= KEPT_MAX; attempt++) {
        g_autofree char *kept = attempt == 1
                                    ? g_strconcat(path, KEPT_MARK, date, NULL)
                                    : g_strdup_printf("%s" KEPT_MARK "%s-%u", path, date, attempt);
        if (rename_to_new(path, kept) == 0) {
            dinv_directory_sync(state_dir);
            return g_steal_pointer(&kept);
        }
        if (errno != EEXIST) {
            dinv_state_fail(error, errno, "cannot rename \"%s\" to \"%s\"", path, kept);
            return NULL;
        }
    }
    dinv_state_fail(error, EEXIST, "cannot find a name to keep \"%s\" under", path);
    return NULL;
}

void dinv_state_image_list_kept(const char *state_dir, GPtrArray *warnings) {
    g_autoptr(GDir) directory = g_dir_open(state_dir, 0, NULL);
    const char *name;
    while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
        if (strstr(name, ".img" KEPT_MARK) != NULL) {
            g_autofree char *shown = g_strescape(name, NULL);
            g_ptr_array_add(warnings,
                            g_strdup_printf("DINV_STATE_DIR: \"%s/%s\" is a damaged disk that was "
                                            "kept aside; remove it when nothing in it is needed",
                                            state_dir, shown));
        }
    }
}

/* SPDX-License-Identifier: MIT */
/* output: O_TMPFILE where it can be had, else a temporary name, see output.h. */
#include "ext4/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_ATTEMPTS 100

struct DinvExt4Output {
    char *path;           /* for messages */
    char *base_name;      /* in directory_fd */
    char *temporary_name; /* in directory_fd; NULL: the file has no name yet */
    int directory_fd;
    int fd;
};

/* O_TMPFILE is of use only if the file can be given a name later, and without CAP_DAC_READ_SEARCH
 * that goes through /proc alone. */
static int open_nameless(const char *directory, mode_t mode) {
    if (access("/proc/self/fd", X_OK) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
}

static char *temporary_name(const char *base_name) {
    return g_strdup_printf(".%s.%08x", base_name, g_random_int());
}

static gboolean open_named(DinvExt4Output *output, mode_t mode) {
    for (guint attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
        g_autofree char *name = temporary_name(output->base_name);
        output->fd = openat(output->directory_fd, name,
                            O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
        if (output->fd >= 0) {
            output->temporary_name = g_steal_pointer(&name);
            return TRUE;
        }
        if (errno != EEXIST) {
            return FALSE;
        }
    }
    return FALSE;
}

static DinvExt4Output *output_new(const char *path, mode_t mode, gboolean nameless,
                                  GError **error) {
    g_autoptr(DinvExt4Output) output = g_new0(DinvExt4Output, 1);
    output->path = g_strdup(path);
    output->base_name = g_path_get_basename(path);
    output->fd = -1;
    g_autofree char *directory = g_path_get_dirname(path);
    output->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (output->directory_fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot make \"%s\": \"%s\"", path, directory);
        return NULL;
    }
    if (path[0] == '\0' || g_str_has_suffix(path, "/") || g_str_equal(output->base_name, ".") ||
        g_str_equal(output->base_name, "..")) {
        dinv_ext4_image_set_errno(error, EISDIR, "cannot make \"%s\"", path);
        return NULL;
    }
    output->fd = nameless ? open_nameless(directory, mode) : -1;
    if (output->fd < 0 && !open_named(output, mode)) {
        dinv_ext4_image_set_errno(error, errno, "cannot make \"%s\"", path);
        return NULL;
    }
    return g_steal_pointer(&output);
}

DinvExt4Output *dinv_ext4_output_new(const char *path, mode_t mode, GError **error) {
    return output_new(path, mode, TRUE, error);
}

DinvExt4Output *dinv_ext4_output_new_named(const char *path, mode_t mode, GError **error) {
    return output_new(path, mode, FALSE, error);
}

int dinv_ext4_output_get_fd(const DinvExt4Output *output) {
    return output->fd;
}

static int link_to(const DinvExt4Output *output, const char *name) {
    if (output->temporary_name != NULL) {
        return linkat(output->directory_fd, output->temporary_name, output->directory_fd, name, 0);
    }
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", output->fd);
    return linkat(AT_FDCWD, source, output->directory_fd, name, AT_SYMLINK_FOLLOW);
}

/* A link cannot replace a name, a rename can, and it needs a name to start from. */
static int ensure_temporary_name(DinvExt4Output *output) {
    for (guint attempt = 0; output->temporary_name == NULL && attempt < NAME_ATTEMPTS; attempt++) {
        g_autofree char *name = temporary_name(output->base_name);
        if (link_to(output, name) == 0) {
            output->temporary_name = g_steal_pointer(&name);
        } else if (errno != EEXIST) {
            return -1;
        }
    }
    return output->temporary_name != NULL ? 0 : -1;
}

/* Not every file system can link (FAT cannot), not every one can rename like this (9p cannot). */
static int give_new_name(DinvExt4Output *output) {
    if (output->temporary_name != NULL &&
        renameat2(output->directory_fd, output->temporary_name, output->directory_fd,
                  output->base_name, RENAME_NOREPLACE) == 0) {
        g_clear_pointer(&output->temporary_name, g_free);
        return 0;
    }
    if (output->temporary_name != NULL && errno == EEXIST) {
        return -1;
    }
    return link_to(output, output->base_name); /* a temporary name goes when the output is freed */
}

static int give_name(DinvExt4Output *output, gboolean replace) {
    if (!replace) {
        return give_new_name(output);
    }
    if (ensure_temporary_name(output) < 0 ||
        renameat(output->directory_fd, output->temporary_name, output->directory_fd,
                 output->base_name) < 0) {
        return -1;
    }
    g_clear_pointer(&output->temporary_name, g_free);
    return 0;
}

gboolean dinv_ext4_output_publish(DinvExt4Output *output, gboolean replace, GError **error) {
    if (fsync(output->fd) < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot write \"%s\"", output->path);
        return FALSE;
    }
    if (give_name(output, replace) < 0) {
        if (errno == EEXIST) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_EXISTS,
                        "\"%s\" exists already and is left as it is", output->path);
        } else {
            dinv_ext4_image_set_errno(error, errno, "cannot make \"%s\"", output->path);
        }
        return FALSE;
    }
    /* EINVAL: a file system that has no fsync for directories. */
    if (fsync(output->directory_fd) < 0 && errno != EINVAL) {
        dinv_ext4_image_set_errno(error, errno, "cannot write the directory of \"%s\"",
                                  output->path);
        return FALSE;
    }
    return TRUE;
}

void dinv_ext4_output_free(DinvExt4Output *output) {
    if (output->temporary_name != NULL) {
        (void)unlinkat(output->directory_fd, output->temporary_name, 0);
    }
    if (output->fd >= 0) {
        close(output->fd);
    }
    if (output->directory_fd >= 0) {
        close(output->directory_fd);
    }
    g_free(output->temporary_name);
    g_free(output->base_name);
    g_free(output->path);
    g_free(output);
}

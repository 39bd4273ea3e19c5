/* SPDX-License-Identifier: MIT */
/* The walk upwards and the sync that directories.h promises. */
#include "launcher/base/directories.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Replaces *path by the directory above it; FALSE at the root. */
static gboolean go_up(char **path) {
    if (strcmp(*path, "/") == 0) {
        return FALSE;
    }
    char *parent = g_path_get_dirname(*path);
    g_free(*path);
    *path = parent;
    return TRUE;
}

char *dinv_directory_nearest(const char *path) {
    char *nearest = g_strdup(path);
    while (access(nearest, F_OK) < 0 && errno == ENOENT && go_up(&nearest)) {
    }
    return nearest;
}

char *dinv_directory_resolve(const char *path) {
    g_autofree char *there = g_strdup(path);
    char real[PATH_MAX];
    while (realpath(there, real) == NULL) {
        if (!go_up(&there)) {
            return g_strdup(path);
        }
    }
    return g_build_filename(real, path + strlen(there), NULL);
}

void dinv_directory_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* SPDX-License-Identifier: MIT */
/* Makes the link under a temporary name and renames it, so that it is never seen half made. */
#include "launcher/base/path-link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/base/unix-socket.h"

struct DinvPathLink {
    char *path;
    char *target;
};

/* Whether nothing of use to anybody is at `path`. */
static gboolean is_free(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        return errno == ENOENT;
    }
    if (S_ISLNK(status.st_mode) && stat(path, &status) < 0) {
        return errno == ENOENT;
    }
    return S_ISSOCK(status.st_mode) && dinv_unix_socket_is_alive(path) == 0;
}

DinvPathLink *dinv_path_link_new(const char *path, const char *target) {
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *temporary = g_strdup_printf("%s/.%x-link", directory, (unsigned)getpid());
    if (!is_free(path)) {
        return NULL;
    }
    (void)g_mkdir_with_parents(directory, 0755);
    (void)unlink(temporary); /* of a process that was killed here and had our pid */
    if (symlink(target, temporary) < 0) {
        return NULL;
    }
    if (rename(temporary, path) < 0) {
        (void)unlink(temporary);
        return NULL;
    }
    DinvPathLink *link = g_new(DinvPathLink, 1);
    *link = (DinvPathLink){.path = g_strdup(path), .target = g_strdup(target)};
    return link;
}

void dinv_path_link_free(DinvPathLink *link) {
    if (link == NULL) {
        return;
    }
    g_autofree char *target = g_file_read_link(link->path, NULL);
    if (g_strcmp0(target, link->target) == 0) {
        (void)unlink(link->path);
    }
    g_free(link->path);
    g_free(link->target);
    g_free(link);
}

const char *dinv_path_link_get_path(const DinvPathLink *link) {
    return link->path;
}

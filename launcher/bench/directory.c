/* SPDX-License-Identifier: MIT */
/* A directory, made and removed. */
#include "launcher/bench/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NAME "bench-XXXXXX"

/* Of file systems whose numbers the kernel's header does not have. */
#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1

char *dinv_bench_directory_make(const char *state_dir, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, NAME, NULL);
    if (g_path_is_absolute(path) && g_mkdtemp(path) != NULL) {
        return g_steal_pointer(&path);
    }
    g_autofree char *other = g_dir_make_tmp("dinv-" NAME, error);
    if (other == NULL) {
        g_prefix_error(error, "cannot make a directory for the files of a microVM: ");
        return NULL;
    }
    return g_canonicalize_filename(other, NULL);
}

static void note_failure(const char *path, GError **error) {
    if (error != NULL && *error == NULL) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot remove \"%s\": %s", path, g_strerror(errno));
    }
}

/* The guest has made files there, but few deep: the depth is bounded by the longest path. */
static void remove_tree(const char *path, GError **error) {
    struct stat status;
    if (lstat(path, &status) < 0) {
        note_failure(path, error);
        return;
    }
    if (!S_ISDIR(status.st_mode)) {
        if (unlink(path) < 0) {
            note_failure(path, error);
        }
        return;
    }
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    const char *name = NULL;
    while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
        g_autofree char *entry = g_build_filename(path, name, NULL);
        remove_tree(entry, error);
    }
    if (rmdir(path) < 0) {
        note_failure(path, error);
    }
}

gboolean dinv_bench_directory_remove(const char *path, GError **error) {
    g_autoptr(GError) first = NULL;
    remove_tree(path, &first);
    if (first != NULL) {
        g_propagate_error(error, g_steal_pointer(&first));
        return FALSE;
    }
    return TRUE;
}

char *dinv_bench_file_system(const char *path) {
    static const struct {
        guint32 magic;
        const char *name;
    } known[] = {
        {EXT4_SUPER_MAGIC, "ext4"},   {XFS_MAGIC, "xfs"},
        {BTRFS_SUPER_MAGIC, "btrfs"}, {OVERLAYFS_SUPER_MAGIC, "overlay"},
        {TMPFS_MAGIC, "tmpfs"},       {NFS_SUPER_MAGIC, "nfs"},
        {ZFS_MAGIC, "zfs"},           {F2FS_SUPER_MAGIC, "f2fs"},
        {FUSE_SUPER_MAGIC, "fuse"},
    };
    struct statfs status;
    if (statfs(path, &status) < 0) {
        return g_strdup("unknown");
    }
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if ((guint32)status.f_type == known[i].magic) {
            return g_strdup(known[i].name);
        }
    }
    return g_strdup_printf("0x%x", (guint)status.f_type);
}

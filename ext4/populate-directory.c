/* SPDX-License-Identifier: MIT */
/* populate-directory: walks a directory by descriptors, so that no name is looked up twice. */
#include "ext4/populate-directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define READ_CHUNK     ((gsize)256 * 1024)
#define XATTR_MAX      ((gsize)65536)
#define TARGET_MAX     4096u
#define DIRECTORIES_UP 1000u /* as deep as a tree may be */

typedef struct {
    DinvExt4Tree *tree;
    const DinvExt4PopulateOptions *options;
    GHashTable *linked; /* "device:inode" of a file with several links -> its first path */
} Walk;

static void directory_close(DIR *directory) {
    (void)closedir(directory);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, directory_close)

/* The next range of data from `*offset` on; FALSE: none up to the end of the file. */
static gboolean next_data(int fd, guint64 size, guint64 *offset, guint64 *end) {
    off_t data = lseek(fd, (off_t)*offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        return FALSE;
    }
    if (data < 0) { /* the file system knows of no holes */
        *end = size;
        return *offset < size;
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    *offset = (guint64)data;
    *end = hole > data ? MIN((guint64)hole, size) : size;
    return *offset < *end;
}

static gboolean read_range(DinvExt4Spool *spool, int fd, guint64 offset, guint64 end,
                           guint8 *buffer, GError **error) {
    while (offset < end) {
        ssize_t got = pread(fd, buffer, (gsize)MIN(end - offset, READ_CHUNK), (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            dinv_ext4_image_set_errno(error, errno, "cannot read");
            return FALSE;
        }
        if (got == 0) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                        "became shorter while it was read");
            return FALSE;
        }
        if (!dinv_ext4_spool_write(spool, offset, buffer, (gsize)got, error)) {
            return FALSE;
        }
        offset += (guint64)got;
    }
    return TRUE;
}

DinvExt4Content *dinv_ext4_populate_read_file(DinvExt4Tree *tree, int fd, const char *name,
                                              GError **error) {
    DinvExt4Spool *spool = dinv_ext4_tree_get_spool(tree);
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FAILED,
                    "\"%s\" is not a regular file", name);
        return NULL;
    }
    guint64 size = (guint64)status.st_size;
    guint64 offset = 0;
    guint64 end = 0;
    g_autofree guint8 *buffer = g_malloc(READ_CHUNK);
    dinv_ext4_spool_begin(spool);
    while (next_data(fd, size, &offset, &end)) {
        if (!read_range(spool, fd, offset, end, buffer, error)) {
            g_prefix_error(error, "\"%s\": ", name);
            return NULL;
        }
        offset = end;
    }
    DinvExt4Content *content = dinv_ext4_spool_end(spool, size, error);
    if (content == NULL) {
        g_prefix_error(error, "\"%s\": ", name);
    }
    return content;
}

static gboolean read_xattr(int fd, const char *name, guint8 *value, GPtrArray *xattrs,
                           GError **error) {
    if (g_str_equal(name, "security.selinux")) {
        return TRUE;
    }
    ssize_t length = fgetxattr(fd, name, value, XATTR_MAX);
    if (length < 0 && errno == ENODATA) {
        return TRUE;
    }
    if (length < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read its extended attribute %s", name);
        return FALSE;
    }
    return dinv_ext4_xattrs_set(xattrs, name, value, (gsize)length, error);
}

static GPtrArray *read_xattrs(int fd, GError **error) {
    g_autoptr(GPtrArray) xattrs = dinv_ext4_xattrs_new();
    g_autofree char *names = g_malloc(XATTR_MAX);
    ssize_t length = flistxattr(fd, names, XATTR_MAX);
    if (length < 0 && errno != ENOTSUP) {
        dinv_ext4_image_set_errno(error, errno, "cannot list its extended attributes");
        return NULL;
    }
    g_autofree guint8 *value = g_malloc(XATTR_MAX);
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        if (!read_xattr(fd, names + at, value, xattrs, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&xattrs);
}

static void fill_attributes(const Walk *walk, const struct stat *status,
                            DinvExt4TreeAttributes *attributes) {
    gboolean force_root = walk->options != NULL && walk->options->force_root_owner;
    *attributes = (DinvExt4TreeAttributes){
        .mode = status->st_mode,
        .uid = force_root ? 0 : status->st_uid,
        .gid = force_root ? 0 : status->st_gid,
        .mtime = status->st_mtim.tv_sec,
        .mtime_nsec = (guint32)status->st_mtim.tv_nsec,
        .device_major = major(status->st_rdev),
        .device_minor = minor(status->st_rdev),
    };
}

/* TRUE in *linked if the file was seen under another name, and is now known by `path` too. */
static gboolean link_if_known(Walk *walk, const char *path, const struct stat *status,
                              gboolean *linked, GError **error) {
    *linked = FALSE;
    if (status->st_nlink < 2 || S_ISDIR(status->st_mode)) {
        return TRUE;
    }
    g_autofree char *key = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                                           (guint64)status->st_dev, (guint64)status->st_ino);
    const char *first = g_hash_table_lookup(walk->linked, key);
    if (first == NULL) {
        g_hash_table_insert(walk->linked, g_steal_pointer(&key), g_strdup(path));
        return TRUE;
    }
    *linked = TRUE;
    return dinv_ext4_tree_add_hard_link(walk->tree, path, first, error);
}

static gboolean walk_directory(Walk *walk, int fd, const char *path, guint depth, GError **error);

/* `fd` is that of a regular file or a directory, and is taken over. */
static gboolean add_opened(Walk *walk, int fd, const char *path, guint depth, GError **error) {
    struct stat status;
    DinvExt4TreeAttributes attributes;
    gboolean linked = FALSE;
    if (fstat(fd, &status) < 0) {
        dinv_ext4_image_set_errno(error, errno, "\"%s\"", path);
        close(fd);
        return FALSE;
    }
    fill_attributes(walk, &status, &attributes);
    if (S_ISDIR(status.st_mode)) {
        attributes.xattrs = read_xattrs(fd, error);
        gboolean added =
            attributes.xattrs != NULL && dinv_ext4_tree_add(walk->tree, path, &attributes, error);
        g_clear_pointer(&attributes.xattrs, g_ptr_array_unref);
        if (!added) {
            g_prefix_error(error, "\"%s\": ", path);
            close(fd);
            return FALSE;
        }
        return walk_directory(walk, fd, path, depth, error);
    }
    gboolean good = link_if_known(walk, path, &status, &linked, error);
    if (!good || linked) {
        close(fd);
        return good;
    }
    attributes.xattrs = read_xattrs(fd, error);
    DinvExt4Content *content = NULL;
    if (attributes.xattrs != NULL) {
        content = dinv_ext4_populate_read_file(walk->tree, fd, path, error);
    } else {
        g_prefix_error(error, "\"%s\": ", path);
    }
    close(fd);
    gboolean added =
        content != NULL && dinv_ext4_tree_add_file(walk->tree, path, &attributes, content, error);
    g_clear_pointer(&attributes.xattrs, g_ptr_array_unref);
    return added;
}

static gboolean add_unopened(Walk *walk, int directory_fd, const char *name, const char *path,
                             const struct stat *status, GError **error) {
    gboolean linked = FALSE;
    if (!link_if_known(walk, path, status, &linked, error)) {
        return FALSE;
    }
    if (linked) {
        return TRUE;
    }
    DinvExt4TreeAttributes attributes;
    fill_attributes(walk, status, &attributes);
    if (!S_ISLNK(status->st_mode)) {
        return dinv_ext4_tree_add(walk->tree, path, &attributes, error);
    }
    char target[TARGET_MAX + 1];
    ssize_t length = readlinkat(directory_fd, name, target, TARGET_MAX);
    if (length < 0) {
        dinv_ext4_image_set_errno(error, errno, "\"%s\"", path);
        return FALSE;
    }
    target[length] = '\0';
    return dinv_ext4_tree_add_symlink(walk->tree, path, &attributes, target, error);
}

static gboolean walk_add_name(Walk *walk, int directory_fd, const char *name, const char *path,
                              guint depth, GError **error) {
    struct stat status;
    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        dinv_ext4_image_set_errno(error, errno, "\"%s\"", path);
        return FALSE;
    }
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
        return add_unopened(walk, directory_fd, name, path, &status, error);
    }
    /* O_NONBLOCK: it may have become a fifo since. */
    int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", path);
        return FALSE;
    }
    return add_opened(walk, fd, path, depth, error);
}

static int walk_compare_names(gconstpointer a, gconstpointer b) {
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

/* Sorted: the order of readdir is not the same everywhere. NULL on failure. */
static GPtrArray *read_names(DIR *directory, const char *path, GError **error) {
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            break;
        }
        if (!g_str_equal(entry->d_name, ".") && !g_str_equal(entry->d_name, "..")) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    if (errno != 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", path);
        return NULL;
    }
    g_ptr_array_sort(names, walk_compare_names);
    return g_steal_pointer(&names);
}

/* Takes `fd` over. */
static gboolean walk_directory(Walk *walk, int fd, const char *path, guint depth, GError **error) {
    g_autoptr(DIR) directory = fdopendir(fd);
    if (directory == NULL || depth > DIRECTORIES_UP) {
        dinv_ext4_image_set_errno(error, directory == NULL ? errno : ELOOP, "cannot read \"%s\"",
                                  path);
        if (directory == NULL) {
            close(fd);
        }
        return FALSE;
    }
    g_autoptr(GPtrArray) names = read_names(directory, path, error);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *child =
            path[0] == '\0' ? g_strdup(name) : g_strdup_printf("%s/%s", path, name);
        if (!walk_add_name(walk, dirfd(directory), name, child, depth + 1, error)) {
            return FALSE;
        }
    }
    return names != NULL;
}

gboolean dinv_ext4_populate_directory(DinvExt4Tree *tree, const char *path,
                                      const DinvExt4PopulateOptions *options, GError **error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", path);
        return FALSE;
    }
    g_autoptr(GHashTable) linked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Walk walk = {.tree = tree, .options = options, .linked = linked};
    if (!add_opened(&walk, fd, "", 0, error)) {
        g_prefix_error(error, "\"%s\": ", path);
        return FALSE;
    }
    return TRUE;
}

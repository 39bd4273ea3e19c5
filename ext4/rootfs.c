/* SPDX-License-Identifier: MIT */
/* rootfs: layers and entries into a tree, and that into an image, see rootfs.h. */
#include "ext4/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ext4/info.h"
#include "ext4/output.h"
#include "ext4/populate-directory.h"
#include "ext4/write-tree.h"
#include "wire/paths.h"

#define READ_CHUNK ((gsize)256 * 1024)

/* What a guest mounts on, where the layers do not have it. */
static const DinvExt4RootfsEntry mount_points[] = {
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/dev", .mode = 0755},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/etc", .mode = 0755},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/mnt", .mode = 0755},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/proc", .mode = 0555},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/root", .mode = 0700},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/run", .mode = 0755},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/sys", .mode = 0555},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = "/tmp", .mode = 01777},
    {.kind = DINV_EXT4_ROOTFS_DIRECTORY, .path = DINV_WIRE_DATA_ROOT, .mode = 0710},
};

static gboolean check_sha512(int fd, const DinvExt4RootfsLayer *layer, GError **error) {
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA512);
    g_autofree guint8 *buffer = g_malloc(READ_CHUNK);
    off_t offset = 0;
    for (;;) {
        ssize_t got = pread(fd, buffer, READ_CHUNK, offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", layer->path);
            return FALSE;
        }
        if (got == 0) {
            break;
        }
        g_checksum_update(checksum, buffer, got);
        offset += got;
    }
    const char *found = g_checksum_get_string(checksum);
    if (g_ascii_strcasecmp(found, layer->sha512) != 0) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "\"%s\" has the SHA-512 checksum %.16s..., but %.16s... is asked for",
                    layer->path, found, layer->sha512);
        return FALSE;
    }
    return TRUE;
}

static gboolean add_layer(DinvExt4Tree *tree, const DinvExt4RootfsLayer *layer, GError **error) {
    const DinvExt4PopulateOptions options = {.force_root_owner = layer->force_root_owner};
    struct stat status;
    int fd = open(layer->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", layer->path);
        if (fd >= 0) {
            close(fd);
        }
        return FALSE;
    }
    gboolean added = FALSE;
    if (S_ISDIR(status.st_mode)) {
        added = dinv_ext4_populate_directory(tree, layer->path, &options, error);
    } else if (layer->sha512 == NULL || check_sha512(fd, layer, error)) {
        added = dinv_ext4_populate_tar(tree, fd, layer->path, &options, error);
    }
    close(fd);
    return added;
}

static gboolean add_host_file(DinvExt4Tree *tree, const DinvExt4RootfsEntry *entry,
                              const DinvExt4TreeAttributes *attributes, GError **error) {
    int fd = open(entry->value, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        dinv_ext4_image_set_errno(error, errno, "cannot read \"%s\"", entry->value);
        return FALSE;
    }
    DinvExt4Content *content = dinv_ext4_populate_read_file(tree, fd, entry->value, error);
    close(fd);
    return content != NULL &&
           dinv_ext4_tree_add_file(tree, entry->path, attributes, content, error);
}

static gboolean add_text(DinvExt4Tree *tree, const DinvExt4RootfsEntry *entry,
                         const DinvExt4TreeAttributes *attributes, GError **error) {
    DinvExt4Spool *spool = dinv_ext4_tree_get_spool(tree);
    gsize length = strlen(entry->value);
    dinv_ext4_spool_begin(spool);
    if (!dinv_ext4_spool_write(spool, 0, entry->value, length, error)) {
        return FALSE;
    }
    DinvExt4Content *content = dinv_ext4_spool_end(spool, length, error);
    return content != NULL &&
           dinv_ext4_tree_add_file(tree, entry->path, attributes, content, error);
}

static gboolean rootfs_add_entry(DinvExt4Tree *tree, const DinvExt4RootfsEntry *entry,
                                 gint64 timestamp, GError **error) {
    DinvExt4TreeAttributes attributes = {
        .mode = entry->mode & 07777, .uid = entry->uid, .gid = entry->gid, .mtime = timestamp};
    switch (entry->kind) {
    case DINV_EXT4_ROOTFS_FILE:
        attributes.mode |= S_IFREG;
        return add_host_file(tree, entry, &attributes, error);
    case DINV_EXT4_ROOTFS_TEXT:
        attributes.mode |= S_IFREG;
        return add_text(tree, entry, &attributes, error);
    case DINV_EXT4_ROOTFS_SYMLINK:
        attributes.mode = S_IFLNK | 0777;
        return dinv_ext4_tree_add_symlink(tree, entry->path, &attributes, entry->value, error);
    case DINV_EXT4_ROOTFS_DIRECTORY:
        attributes.mode |= S_IFDIR;
        const DinvExt4TreeNode *old = dinv_ext4_tree_find(tree, entry->path);
        return (old != NULL && old->children != NULL) ||
               dinv_ext4_tree_add(tree, entry->path, &attributes, error);
    case DINV_EXT4_ROOTFS_OWNER:
        return dinv_ext4_tree_set_owner(tree, entry->path, entry->uid, entry->gid, entry->mode,
                                        error);
    }
    g_return_val_if_reached(FALSE);
}

static gboolean compose(DinvExt4Tree *tree, const DinvExt4RootfsRecipe *recipe, GError **error) {
    gint64 timestamp = recipe->timestamp;
    for (gsize i = 0; i < recipe->layer_count; i++) {
        if (!add_layer(tree, &recipe->layers[i], error)) {
            return FALSE;
        }
        if (timestamp == 0) {
            timestamp = MAX(dinv_ext4_tree_get_newest(tree), 1);
        }
        dinv_ext4_tree_set_time(tree, timestamp);
    }
    for (gsize i = 0; i < recipe->entry_count; i++) {
        if (!rootfs_add_entry(tree, &recipe->entries[i], timestamp, error)) {
            return FALSE;
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(mount_points); i++) {
        if (!rootfs_add_entry(tree, &mount_points[i], timestamp, error)) {
            return FALSE;
        }
    }
    dinv_ext4_tree_clamp_times(tree, timestamp);
    return TRUE;
}

gboolean dinv_ext4_rootfs_build(const DinvExt4RootfsRecipe *recipe, GError **error) {
    g_autofree char *label =
        g_strdup_printf(DINV_EXT4_ROOTFS_LABEL_PREFIX "%u", DINV_EXT4_ROOTFS_VERSION);
    const DinvExt4Options options = {.label = label, .read_only = TRUE};
    g_autofree char *directory = g_path_get_dirname(recipe->output);
    /* Where the image goes there is place for its contents; /tmp may be memory. */
    g_autoptr(DinvExt4Output) output = dinv_ext4_output_new(recipe->output, 0644, error);
    g_autoptr(DinvExt4Tree) tree = output != NULL ? dinv_ext4_tree_new(directory, 0, error) : NULL;
    if (tree == NULL || !compose(tree, recipe, error)) {
        return FALSE;
    }
    if (!dinv_ext4_write_tree(dinv_ext4_output_get_fd(output), &options, tree, error)) {
        g_prefix_error(error, "cannot make \"%s\": ", recipe->output);
        return FALSE;
    }
    return dinv_ext4_output_publish(output, TRUE, error);
}

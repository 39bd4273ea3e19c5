/* SPDX-License-Identifier: MIT */
#include "images/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/ext4-tree.h"
#include "images/info.h"
#include "images/output.h"
#include "images/populate-directory.h"

#define READ_CHUNK ((gsize)256 * 1024)

/* What a guest mounts on, where the layers do not have it. */
static const DinvRootfsEntry mount_points[] = {
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/dev", .mode = 0755},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/etc", .mode = 0755},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/mnt", .mode = 0755},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/proc", .mode = 0555},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/root", .mode = 0700},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/run", .mode = 0755},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/sys", .mode = 0555},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/tmp", .mode = 01777},
    {.kind = DINV_ROOTFS_DIRECTORY, .path = "/var/lib/docker", .mode = 0710},
};

static gboolean check_sha512(int fd, const DinvRootfsLayer *layer, GError **error) {
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA512);
    g_autofree guint8 *buffer = g_malloc(READ_CHUNK);
    off_t offset = 0;
    for (;;) {
        ssize_t got = pread(fd, buffer, READ_CHUNK, offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            dinv_image_set_errno(error, errno, "cannot read \"%s\"", layer->path);
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
        g_set_error(error, DINV_IMAGE_ERROR, DINV_IMAGE_ERROR_BAD_ARCHIVE,
                    "\"%s\" has the SHA-512 checksum %.16s..., but %.16s... is asked for",
                    layer->path, found, layer->sha512);
        return FALSE;
    }
    return TRUE;
}

static gboolean add_layer(DinvTree *tree, const DinvRootfsLayer *layer, GError **error) {
    const DinvPopulateOptions options = {.force_root_owner = layer->force_root_owner};
    struct stat status;
    int fd = open(layer->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        dinv_image_set_errno(error, errno, "cannot read \"%s\"", layer->path);
        if (fd >= 0) {
            close(fd);
        }
        return FALSE;
    }
    gboolean added = FALSE;
    if (S_ISDIR(status.st_mode)) {
        added = dinv_populate_directory(tree, layer->path, &options, error);
    } else if (layer->sha512 == NULL || check_sha512(fd, layer, error)) {
        added = dinv_populate_tar(tree, fd, layer->path, &options, error);
    }
    close(fd);
    return added;
}

static gboolean add_host_file(DinvTree *tree, const DinvRootfsEntry *entry,
                              const DinvTreeAttributes *attributes, GError **error) {
    int fd = open(entry->value, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        dinv_image_set_errno(error, errno, "cannot read \"%s\"", entry->value);
        return FALSE;
    }
    DinvContent *content = dinv_populate_read_file(tree, fd, entry->value, error);
    close(fd);
    return content != NULL && dinv_tree_add_file(tree, entry->path, attributes, content, error);
}

static gboolean add_text(DinvTree *tree, const DinvRootfsEntry *entry,
                         const DinvTreeAttributes *attributes, GError **error) {
    DinvSpool *spool = dinv_tree_get_spool(tree);
    gsize length = strlen(entry->value);
    dinv_spool_begin(spool);
    if (!dinv_spool_write(spool, 0, entry->value, length, error)) {
        return FALSE;
    }
    DinvContent *content = dinv_spool_end(spool, length, error);
    return content != NULL && dinv_tree_add_file(tree, entry->path, attributes, content, error);
}

static gboolean add_entry(DinvTree *tree, const DinvRootfsEntry *entry, gint64 timestamp,
                          GError **error) {
    DinvTreeAttributes attributes = {
        .mode = entry->mode & 07777, .uid = entry->uid, .gid = entry->gid, .mtime = timestamp};
    switch (entry->kind) {
    case DINV_ROOTFS_FILE:
        attributes.mode |= S_IFREG;
        return add_host_file(tree, entry, &attributes, error);
    case DINV_ROOTFS_TEXT:
        attributes.mode |= S_IFREG;
        return add_text(tree, entry, &attributes, error);
    case DINV_ROOTFS_SYMLINK:
        attributes.mode = S_IFLNK | 0777;
        return dinv_tree_add_symlink(tree, entry->path, &attributes, entry->value, error);
    case DINV_ROOTFS_DIRECTORY:
        attributes.mode |= S_IFDIR;
        const DinvTreeNode *old = dinv_tree_find(tree, entry->path);
        return (old != NULL && old->children != NULL) ||
               dinv_tree_add(tree, entry->path, &attributes, error);
    case DINV_ROOTFS_OWNER:
        return dinv_tree_set_owner(tree, entry->path, entry->uid, entry->gid, entry->mode, error);
    }
    g_return_val_if_reached(FALSE);
}

static gboolean compose(DinvTree *tree, const DinvRootfsRecipe *recipe, GError **error) {
    gint64 timestamp = recipe->timestamp;
    for (gsize i = 0; i < recipe->layer_count; i++) {
        if (!add_layer(tree, &recipe->layers[i], error)) {
            return FALSE;
        }
        if (timestamp == 0) {
            timestamp = MAX(dinv_tree_get_newest(tree), 1);
        }
        dinv_tree_set_time(tree, timestamp);
    }
    for (gsize i = 0; i < recipe->entry_count; i++) {
        if (!add_entry(tree, &recipe->entries[i], timestamp, error)) {
            return FALSE;
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(mount_points); i++) {
        if (!add_entry(tree, &mount_points[i], timestamp, error)) {
            return FALSE;
        }
    }
    dinv_tree_clamp_times(tree, timestamp);
    return TRUE;
}

gboolean dinv_rootfs_build(const DinvRootfsRecipe *recipe, GError **error) {
    g_autofree char *label = g_strdup_printf(DINV_ROOTFS_LABEL_PREFIX "%u", DINV_ROOTFS_VERSION);
    const DinvExt4Options options = {.label = label, .read_only = TRUE};
    g_autofree char *directory = g_path_get_dirname(recipe->output);
    /* Where the image goes there is place for its contents; /tmp may be memory. */
    g_autoptr(DinvOutput) output = dinv_output_new(recipe->output, 0644, error);
    g_autoptr(DinvTree) tree = output != NULL ? dinv_tree_new(directory, 0, error) : NULL;
    if (tree == NULL || !compose(tree, recipe, error)) {
        return FALSE;
    }
    if (!dinv_ext4_write_tree(dinv_output_get_fd(output), &options, tree, error)) {
        g_prefix_error(error, "cannot make \"%s\": ", recipe->output);
        return FALSE;
    }
    return dinv_output_publish(output, TRUE, error);
}

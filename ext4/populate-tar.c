/* SPDX-License-Identifier: MIT */
/* populate-tar: entries of an archive, by libarchive, into a tree. The archive is untrusted. */
#include "ext4/populate-tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#define READ_BLOCK 65536u

typedef struct archive DinvArchive;
static void reader_free(DinvArchive *archive) {
    (void)archive_read_free(archive);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DinvArchive, reader_free)

static void set_archive_error(GError **error, DinvArchive *archive, const char *last_path) {
    const char *text = archive_error_string(archive);
    g_autofree char *after = last_path == NULL
                                 ? g_strdup("at its start")
                                 : g_strdup_printf("after the entry \"%.200s\"", last_path);
    g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                "the archive is damaged or cut off %s: %s", after,
                text != NULL ? text : "unknown error");
}

static DinvArchive *open_archive(int fd, GError **error) {
    DinvArchive *archive = archive_read_new();
    g_assert(archive != NULL);
    /* Named one by one: "all" includes filters that run external programs. */
    (void)archive_read_support_filter_gzip(archive);
    (void)archive_read_support_filter_bzip2(archive);
    (void)archive_read_support_filter_xz(archive);
    (void)archive_read_support_filter_lzma(archive);
    (void)archive_read_support_filter_zstd(archive);
    (void)archive_read_support_format_tar(archive);
    if (archive_read_open_fd(archive, fd, READ_BLOCK) != ARCHIVE_OK) {
        set_archive_error(error, archive, NULL);
        reader_free(archive);
        return NULL;
    }
    return archive;
}

static gboolean add_acl(struct archive_entry *entry, int type, const char *name, GPtrArray *xattrs,
                        GError **error) {
    if (archive_entry_acl_reset(entry, type) == 0) {
        return TRUE;
    }
    g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(DinvExt4AclEntry));
    int entry_type = 0;
    int permissions = 0;
    int tag = 0;
    int id = 0;
    const char *who = NULL;
    while (archive_entry_acl_next(entry, type, &entry_type, &permissions, &tag, &id, &who) ==
           ARCHIVE_OK) {
        DinvExt4AclEntry acl = {.permissions = (guint16)(permissions & 7), .id = (guint32)id};
        switch (tag) {
        case ARCHIVE_ENTRY_ACL_USER_OBJ:
            acl.tag = DINV_EXT4_ACL_USER_OBJ;
            break;
        case ARCHIVE_ENTRY_ACL_USER:
            acl.tag = DINV_EXT4_ACL_USER;
            break;
        case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
            acl.tag = DINV_EXT4_ACL_GROUP_OBJ;
            break;
        case ARCHIVE_ENTRY_ACL_GROUP:
            acl.tag = DINV_EXT4_ACL_GROUP;
            break;
        case ARCHIVE_ENTRY_ACL_MASK:
            acl.tag = DINV_EXT4_ACL_MASK;
            break;
        default:
            acl.tag = DINV_EXT4_ACL_OTHER;
            break;
        }
        if ((acl.tag == DINV_EXT4_ACL_USER || acl.tag == DINV_EXT4_ACL_GROUP) && id < 0) {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                        "its access control list names \"%.60s\" without a numeric id",
                        who != NULL ? who : "");
            return FALSE;
        }
        g_array_append_val(entries, acl);
    }
    return dinv_ext4_xattrs_set_acl(xattrs, name, entries, error);
}

static GPtrArray *entry_xattrs(struct archive_entry *entry, GError **error) {
    g_autoptr(GPtrArray) xattrs = dinv_ext4_xattrs_new();
    const char *name = NULL;
    const void *value = NULL;
    size_t length = 0;
    (void)archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &length) == ARCHIVE_OK) {
        if (name != NULL && !dinv_ext4_xattrs_set(xattrs, name, value, length, error)) {
            return NULL;
        }
    }
    gboolean extended = (archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) != 0;
    if (extended &&
        (!add_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, DINV_EXT4_ACL_ACCESS, xattrs, error) ||
         !add_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, DINV_EXT4_ACL_DEFAULT, xattrs, error))) {
        return NULL;
    }
    return g_steal_pointer(&xattrs);
}

static gboolean entry_id(gint64 id, const char *what, guint32 *out, GError **error) {
    if (id < 0 || id >= G_MAXUINT32) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "its %s id %" G_GINT64_FORMAT " is impossible", what, id);
        return FALSE;
    }
    *out = (guint32)id;
    return TRUE;
}

/* The caller unrefs attributes->xattrs. */
static gboolean entry_attributes(struct archive_entry *entry,
                                 const DinvExt4PopulateOptions *options,
                                 DinvExt4TreeAttributes *attributes, GError **error) {
    *attributes = (DinvExt4TreeAttributes){
        .mode = (mode_t)(archive_entry_filetype(entry) | (archive_entry_perm(entry) & 07777)),
        .mtime = archive_entry_mtime(entry),
        .mtime_nsec = (guint32)CLAMP(archive_entry_mtime_nsec(entry), 0L, 999999999L),
        .device_major = (guint32)archive_entry_rdevmajor(entry),
        .device_minor = (guint32)archive_entry_rdevminor(entry),
    };
    if ((options == NULL || !options->force_root_owner) &&
        (!entry_id(archive_entry_uid(entry), "user", &attributes->uid, error) ||
         !entry_id(archive_entry_gid(entry), "group", &attributes->gid, error))) {
        return FALSE;
    }
    attributes->xattrs = entry_xattrs(entry, error);
    return attributes->xattrs != NULL;
}

static DinvExt4Content *read_content(DinvExt4Tree *tree, DinvArchive *archive, gint64 size,
                                     GError **error) {
    DinvExt4Spool *spool = dinv_ext4_tree_get_spool(tree);
    dinv_ext4_spool_begin(spool);
    for (;;) {
        const void *bytes = NULL;
        size_t length = 0;
        la_int64_t offset = 0;
        int result = archive_read_data_block(archive, &bytes, &length, &offset);
        if (result == ARCHIVE_EOF) {
            break;
        }
        if ((result != ARCHIVE_OK && result != ARCHIVE_WARN) || offset < 0) {
            const char *text = archive_error_string(archive);
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                        "its content is damaged or cut off: %s",
                        text != NULL ? text : "bad offset");
            return NULL;
        }
        if (length > 0 && !dinv_ext4_spool_write(spool, (guint64)offset, bytes, length, error)) {
            return NULL;
        }
    }
    return dinv_ext4_spool_end(spool, (guint64)MAX(size, 0), error);
}

static gboolean add_typed_entry(DinvExt4Tree *tree, DinvArchive *archive,
                                struct archive_entry *entry, const char *path,
                                const DinvExt4TreeAttributes *attributes, GError **error) {
    if (S_ISREG(attributes->mode)) {
        DinvExt4Content *content = read_content(tree, archive, archive_entry_size(entry), error);
        if (content == NULL) {
            g_prefix_error(error, "\"%.200s\": ", path);
            return FALSE;
        }
        return dinv_ext4_tree_add_file(tree, path, attributes, content, error);
    }
    if (S_ISLNK(attributes->mode)) {
        const char *target = archive_entry_symlink(entry);
        return dinv_ext4_tree_add_symlink(tree, path, attributes, target != NULL ? target : "",
                                          error);
    }
    return dinv_ext4_tree_add(tree, path, attributes, error);
}

static gboolean tar_add_entry(DinvExt4Tree *tree, DinvArchive *archive, struct archive_entry *entry,
                              const char *path, const DinvExt4PopulateOptions *options,
                              GError **error) {
    const char *hard_link = archive_entry_hardlink(entry);
    if (hard_link != NULL) {
        return dinv_ext4_tree_add_hard_link(tree, path, hard_link, error);
    }
    DinvExt4TreeAttributes attributes = {0};
    if (!entry_attributes(entry, options, &attributes, error)) {
        g_prefix_error(error, "\"%.200s\": ", path);
        return FALSE;
    }
    gboolean added = add_typed_entry(tree, archive, entry, path, &attributes, error);
    g_ptr_array_unref(attributes.xattrs);
    return added;
}

static gboolean add_entries(DinvExt4Tree *tree, DinvArchive *archive,
                            const DinvExt4PopulateOptions *options, GError **error) {
    g_autofree char *last_path = NULL;
    for (;;) {
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF) {
            return TRUE;
        }
        /* A warning is about a header that could not be understood as a whole (such as a name that
         * is no UTF-8): an image that lacks a piece is worse than no image. */
        if (result != ARCHIVE_OK) {
            set_archive_error(error, archive, last_path);
            return FALSE;
        }
        const char *path = archive_entry_pathname(entry);
        if (path == NULL || path[0] == '\0') {
            g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                        "the archive has an entry without a name");
            return FALSE;
        }
        if (!tar_add_entry(tree, archive, entry, path, options, error)) {
            return FALSE;
        }
        g_free(last_path);
        last_path = g_strdup(path);
    }
}

gboolean dinv_ext4_populate_tar(DinvExt4Tree *tree, int fd, const char *name,
                                const DinvExt4PopulateOptions *options, GError **error) {
    g_autoptr(DinvArchive) archive = open_archive(fd, error);
    gboolean populated = FALSE;
    if (archive != NULL) {
        /* libarchive converts the UTF-8 names of pax headers to the locale's character set; the
         * image must not depend on the caller's. */
        locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        locale_t previous = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
        populated = add_entries(tree, archive, options, error);
        if (utf8 != (locale_t)0) {
            (void)uselocale(previous);
            freelocale(utf8);
        }
    }
    if (!populated) {
        g_prefix_error(error, "\"%s\": ", name);
    }
    return populated;
}

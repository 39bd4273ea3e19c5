/* SPDX-License-Identifier: MIT */
/* xattrs: attributes checked and kept; ACLs in the form of the kernel, see xattrs.h. */
#include "ext4/xattrs.h"

#include <string.h>

#define NAME_MAX_BYTES  255u
#define ACL_VERSION     2u
#define ACL_HEADER      4u
#define ACL_ENTRY       8u
#define ACL_NO_ID       0xffffffffu
#define ACL_ENTRIES_MAX 500u

static void xattr_free(gpointer data) {
    DinvExt4Xattr *xattr = data;
    g_free(xattr->name);
    g_bytes_unref(xattr->value);
    g_free(xattr);
}

GPtrArray *dinv_ext4_xattrs_new(void) {
    return g_ptr_array_new_with_free_func(xattr_free);
}

static guint16 get_u16(const guint8 *bytes) {
    return (guint16)(bytes[0] | bytes[1] << 8);
}

static void put_u16(guint8 *bytes, guint16 value) {
    bytes[0] = (guint8)(value & 0xff);
    bytes[1] = (guint8)(value >> 8);
}

static void put_u32(guint8 *bytes, guint32 value) {
    put_u16(bytes, (guint16)(value & 0xffff));
    put_u16(bytes + 2, (guint16)(value >> 16));
}

/* libext2fs converts ACLs for the disk without checking them, so they are checked here. */
static gboolean acl_is_well_formed(const guint8 *value, gsize length) {
    if (length < ACL_HEADER || (length - ACL_HEADER) % ACL_ENTRY != 0 ||
        (length - ACL_HEADER) / ACL_ENTRY > ACL_ENTRIES_MAX) {
        return FALSE;
    }
    if (get_u16(value) != ACL_VERSION || get_u16(value + 2) != 0) {
        return FALSE;
    }
    for (gsize at = ACL_HEADER; at < length; at += ACL_ENTRY) {
        guint16 tag = get_u16(value + at);
        gboolean one_bit = tag != 0 && (tag & (tag - 1)) == 0;
        if (!one_bit || tag > DINV_EXT4_ACL_OTHER || get_u16(value + at + 2) > 7) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean is_acl(const char *name) {
    return g_str_equal(name, DINV_EXT4_ACL_ACCESS) || g_str_equal(name, DINV_EXT4_ACL_DEFAULT);
}

static gboolean is_storable(const char *name) {
    static const char *const prefixes[] = {"user.", "trusted.", "security."};
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (g_str_has_prefix(name, prefixes[i]) && name[strlen(prefixes[i])] != '\0') {
            return TRUE;
        }
    }
    return is_acl(name);
}

gboolean dinv_ext4_xattrs_set(GPtrArray *xattrs, const char *name, const void *value, gsize length,
                              GError **error) {
    if (!is_storable(name)) {
        g_debug("extended attribute %s: no such namespace in ext4, ignoring", name);
        return TRUE;
    }
    if (strlen(name) > NAME_MAX_BYTES) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED,
                    "the name of its extended attribute \"%.40s...\" is too long", name);
        return FALSE;
    }
    if (is_acl(name) && !acl_is_well_formed(value, length)) {
        g_set_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE,
                    "its access control list (%s) is malformed", name);
        return FALSE;
    }
    for (guint i = 0; i < xattrs->len; i++) {
        const DinvExt4Xattr *other = g_ptr_array_index(xattrs, i);
        if (g_str_equal(other->name, name)) {
            g_ptr_array_remove_index(xattrs, i);
            break;
        }
    }
    DinvExt4Xattr *xattr = g_new0(DinvExt4Xattr, 1);
    xattr->name = g_strdup(name);
    xattr->value = g_bytes_new(value, length);
    g_ptr_array_add(xattrs, xattr);
    return TRUE;
}

static int compare_xattrs(gconstpointer a, gconstpointer b) {
    const DinvExt4Xattr *const *left = a;
    const DinvExt4Xattr *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

void dinv_ext4_xattrs_sort(GPtrArray *xattrs) {
    g_ptr_array_sort(xattrs, compare_xattrs);
}

static int compare_acl_entries(gconstpointer a, gconstpointer b) {
    const DinvExt4AclEntry *left = a;
    const DinvExt4AclEntry *right = b;
    if (left->tag != right->tag) {
        return left->tag < right->tag ? -1 : 1;
    }
    return (left->id > right->id) - (left->id < right->id);
}

gboolean dinv_ext4_xattrs_set_acl(GPtrArray *xattrs, const char *name, GArray *entries,
                                  GError **error) {
    g_array_sort(entries, compare_acl_entries);
    gsize length = ACL_HEADER + (gsize)entries->len * ACL_ENTRY;
    g_autofree guint8 *value = g_malloc0(length);
    put_u32(value, ACL_VERSION);
    for (guint i = 0; i < entries->len; i++) {
        const DinvExt4AclEntry *entry = &g_array_index(entries, DinvExt4AclEntry, i);
        guint8 *at = value + ACL_HEADER + (gsize)i * ACL_ENTRY;
        gboolean named = entry->tag == DINV_EXT4_ACL_USER || entry->tag == DINV_EXT4_ACL_GROUP;
        put_u16(at, (guint16)entry->tag);
        put_u16(at + 2, entry->permissions);
        put_u32(at + 4, named ? entry->id : ACL_NO_ID);
    }
    return dinv_ext4_xattrs_set(xattrs, name, value, length, error);
}

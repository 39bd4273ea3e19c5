/* SPDX-License-Identifier: MIT */
/* xattrs: the extended attributes of one file, in the form that the kernel's setxattr(2) takes. */
#pragma once

#include "ext4/error.h"

typedef struct {
    char *name;
    GBytes *value;
} DinvExt4Xattr;

/* An array of DinvExt4Xattr* that owns them; g_ptr_array_unref() when done. */
GPtrArray *dinv_ext4_xattrs_new(void);

/* Adds or replaces one. A namespace that ext4 does not have is left out (with a debug message). A
 * name that is too long or an ACL that is not well formed is an error. `value` is copied. */
gboolean dinv_ext4_xattrs_set(GPtrArray *xattrs, const char *name, const void *value, gsize length,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* By name, so that the order in which they came has no influence. */
void dinv_ext4_xattrs_sort(GPtrArray *xattrs);

/* POSIX ACLs in the kernel's xattr form: a version, then entries in ascending order. */
#define DINV_EXT4_ACL_ACCESS  "system.posix_acl_access"
#define DINV_EXT4_ACL_DEFAULT "system.posix_acl_default"
typedef enum {
    DINV_EXT4_ACL_USER_OBJ = 0x01,
    DINV_EXT4_ACL_USER = 0x02,
    DINV_EXT4_ACL_GROUP_OBJ = 0x04,
    DINV_EXT4_ACL_GROUP = 0x08,
    DINV_EXT4_ACL_MASK = 0x10,
    DINV_EXT4_ACL_OTHER = 0x20,
} DinvExt4AclTag;
typedef struct {
    DinvExt4AclTag tag;
    guint16 permissions; /* 4 read, 2 write, 1 execute */
    guint32 id;          /* of USER and GROUP; else ignored */
} DinvExt4AclEntry;

/* Sorts `entries` (of DinvExt4AclEntry) and sets them as ACL `name`. */
gboolean dinv_ext4_xattrs_set_acl(GPtrArray *xattrs, const char *name, GArray *entries,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

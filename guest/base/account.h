/* SPDX-License-Identifier: MIT */
/*
 * account: users of the guest's own /etc/passwd and /etc/group. A static program has no name
 * service to ask, and needs none.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define DINV_ACCOUNT_GROUPS 64u

typedef struct {
    uid_t uid;
    gid_t gid;
    gid_t groups[DINV_ACCOUNT_GROUPS]; /* with `gid` as the first */
    size_t group_count;
    char home[256];
} DinvAccount;

/* Reads both files in `directory` ("/etc"). 0, or -ENOENT when there is no such user. */
int dinv_account_find(const char *directory, const char *name, DinvAccount *account);

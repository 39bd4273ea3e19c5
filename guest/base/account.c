/* SPDX-License-Identifier: MIT */
/* /etc/passwd and /etc/group read line by line, by libc's parsers. */
#include "guest/base/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static FILE *open_account_file(const char *directory, const char *name) {
    char path[512];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        return NULL;
    }
    return fopen(path, "re");
}

static bool is_member(const struct group *group, const char *name) {
    for (char **member = group->gr_mem; *member != NULL; member++) {
        if (strcmp(*member, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_groups(const char *directory, const char *name, DinvAccount *account) {
    FILE *file = open_account_file(directory, "group");
    if (file == NULL) {
        return;
    }
    for (struct group *group;
         account->group_count < DINV_ACCOUNT_GROUPS && (group = fgetgrent(file)) != NULL;) {
        if (group->gr_gid != account->gid && is_member(group, name)) {
            account->groups[account->group_count++] = group->gr_gid;
        }
    }
    (void)fclose(file);
}

int dinv_account_find(const char *directory, const char *name, DinvAccount *account) {
    FILE *file = open_account_file(directory, "passwd");
    if (file == NULL) {
        return -ENOENT;
    }
    int result = -ENOENT;
    for (struct passwd *entry; result == -ENOENT && (entry = fgetpwent(file)) != NULL;) {
        if (strcmp(entry->pw_name, name) == 0) {
            *account = (DinvAccount){.uid = entry->pw_uid, .gid = entry->pw_gid};
            (void)snprintf(account->home, sizeof account->home, "%s", entry->pw_dir);
            account->groups[account->group_count++] = entry->pw_gid;
            add_groups(directory, name, account);
            result = 0;
        }
    }
    (void)fclose(file);
    return result;
}

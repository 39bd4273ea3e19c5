/* SPDX-License-Identifier: MIT */
/* Checks of modes, owners and names, see posix.c. */
#include <sys/wait.h>

#include "tests/integration/posix.h"

enum { OTHER_ID = 1000 };

/* The result of `run` as another user of the guest. */
static int as_other(int (*run)(void)) {
    pid_t child = fork();
    if (child == 0) {
        if (setgid(OTHER_ID) < 0 || setuid(OTHER_ID) < 0) {
            _exit(1);
        }
        int result = run();
        _exit(result == 0 ? 0 : result == WRONG ? 255 : result);
    }
    int status = 0;
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status)) {
        return WRONG;
    }
    return WEXITSTATUS(status) == 255 ? WRONG : WEXITSTATUS(status);
}

/* ---- modes and owners ---- */

static int check_chmod(void) {
    TRY(make("f", ""));
    TRY(chmod("f", 0751));
    EXPECT((look("f").st_mode & 07777) == 0751);
    return 0;
}

static int check_chmod_setuid(void) {
    TRY(make("f", ""));
    TRY(chmod("f", 06755));
    EXPECT((look("f").st_mode & 07777) == 06755);
    return 0;
}

static int check_chown(void) {
    TRY(make("f", ""));
    TRY(chown("f", 1234, 4321));
    EXPECT(look("f").st_uid == 1234 && look("f").st_gid == 4321);
    return 0;
}

static int check_lchown(void) {
    TRY(symlink("nowhere", "l"));
    TRY(lchown("l", 1234, 4321));
    EXPECT(look("l").st_uid == 1234 && look("l").st_gid == 4321);
    return 0;
}

static int make_as_other(void) {
    TRY(make("f", "mine"));
    TRY(mkdir("d", 0700));
    TRY(make("d/inside", ""));
    EXPECT(look("f").st_uid == OTHER_ID && look("d").st_uid == OTHER_ID);
    return 0;
}

static int check_owner_of_new_files(void) {
    TRY(chmod(".", 0777));
    return as_other(make_as_other);
}

static int read_private(void) {
    EXPECT_ERROR(open("f", O_RDONLY), EACCES);
    return 0;
}

static int check_permission_denied(void) {
    TRY(make("f", "secret"));
    TRY(chmod("f", 0600));
    return as_other(read_private);
}

static int check_setgid_directory(void) {
    TRY(mkdir("d", 0755));
    TRY(chown("d", 0, 4321));
    TRY(chmod("d", 02755));
    TRY(make("d/f", ""));
    EXPECT(look("d/f").st_gid == 4321);
    return 0;
}

/* ---- names ---- */

static int check_link(void) {
    TRY(make("f", "text"));
    TRY(link("f", "g"));
    EXPECT(look("f").st_ino == look("g").st_ino && look("f").st_nlink == 2 && holds("g", "text"));
    return 0;
}

static int check_symlink(void) {
    char target[64] = "";
    TRY(symlink("../no where", "l"));
    TRY(readlink("l", target, sizeof target - 1));
    EXPECT(strcmp(target, "../no where") == 0 && S_ISLNK(look("l").st_mode));
    return 0;
}

static int check_rename(void) {
    TRY(make("f", "text"));
    TRY(rename("f", "g"));
    EXPECT(look("f").st_mode == 0 && holds("g", "text"));
    return 0;
}

static int check_rename_over_open(void) {
    char text[8] = "";
    int fd = make("old", "before");
    TRY(fd);
    TRY(make("new", "after"));
    TRY(rename("new", "old"));
    TRY(pread(fd, text, 6, 0));
    EXPECT(strcmp(text, "before") == 0 && holds("old", "after"));
    return 0;
}

static int check_rename_directory(void) {
    TRY(mkdir("d", 0755));
    int fd = make("d/f", "text");
    TRY(fd);
    TRY(rename("d", "e"));
    TRY(pwrite(fd, "TEXT", 4, 0));
    EXPECT(holds("e/f", "TEXT"));
    return 0;
}

static int check_rename_noreplace(void) {
    TRY(make("f", "f"));
    TRY(make("g", "g"));
    EXPECT_ERROR(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE), EEXIST);
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "h", RENAME_NOREPLACE));
    return 0;
}

static int check_rename_exchange(void) {
    TRY(make("f", "f"));
    TRY(make("g", "g"));
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_EXCHANGE));
    EXPECT(holds("f", "g") && holds("g", "f"));
    return 0;
}

static int check_long_name(void) {
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    TRY(make(name, ""));
    TRY(unlink(name));
    return 0;
}

static int check_odd_name(void) {
    TRY(make("a b\n\\\xff", "text"));
    EXPECT(holds("a b\n\\\xff", "text"));
    return 0;
}

const Check name_checks[] = {
    {"chmod", check_chmod},
    {"chmod-setuid", check_chmod_setuid},
    {"chown", check_chown},
    {"lchown", check_lchown},
    {"owner-of-new-files", check_owner_of_new_files},
    {"permission-denied", check_permission_denied},
    {"setgid-directory", check_setgid_directory},
    {"link", check_link},
    {"symlink", check_symlink},
    {"rename", check_rename},
    {"rename-over-open", check_rename_over_open},
    {"rename-directory", check_rename_directory},
    {"rename-noreplace", check_rename_noreplace},
    {"rename-exchange", check_rename_exchange},
    {"long-name", check_long_name},
    {"odd-name", check_odd_name},
    {NULL, NULL},
};

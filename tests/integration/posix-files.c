/* SPDX-License-Identifier: MIT */
/* Checks of open files, times and attributes, see posix.c. */
#include <linux/capability.h>
#include <sys/xattr.h>

#include "tests/integration/posix.h"

/* ---- open files ---- */

static int check_unlink_open(void) {
    char text[8] = "";
    int fd = make("f", "before");
    TRY(fd);
    TRY(unlink("f"));
    TRY(pwrite(fd, "after ", 6, 0));
    TRY(pread(fd, text, 6, 0));
    EXPECT(strcmp(text, "after ") == 0 && look("f").st_mode == 0);
    return 0;
}

static int check_fstat_unlinked(void) {
    struct stat status;
    int fd = make("f", "text");
    TRY(fd);
    TRY(unlink("f"));
    TRY(fstat(fd, &status));
    EXPECT(status.st_size == 4);
    return 0;
}

static int check_truncate_unlinked(void) {
    int fd = make("f", "text");
    TRY(fd);
    TRY(unlink("f"));
    TRY(ftruncate(fd, 1));
    return 0;
}

static int check_truncate(void) {
    TRY(make("f", "long text"));
    TRY(truncate("f", 4));
    EXPECT(holds("f", "long"));
    TRY(truncate("f", 8192));
    EXPECT(look("f").st_size == 8192);
    return 0;
}

static int check_open_truncate(void) {
    TRY(make("f", "long text"));
    TRY(open("f", O_WRONLY | O_TRUNC));
    EXPECT(look("f").st_size == 0);
    return 0;
}

static int check_open_exclusive(void) {
    TRY(make("f", ""));
    EXPECT_ERROR(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    return 0;
}

static int check_open_append(void) {
    TRY(make("f", ""));
    int one = open("f", O_WRONLY | O_APPEND);
    int two = open("f", O_WRONLY | O_APPEND);
    TRY(one);
    TRY(two);
    TRY(write(one, "a", 1));
    TRY(write(two, "b", 1));
    TRY(write(one, "c", 1));
    EXPECT(holds("f", "abc"));
    return 0;
}

static int check_open_modes(void) {
    char byte;
    TRY(make("f", "x"));
    int reader = open("f", O_RDONLY);
    int writer = open("f", O_WRONLY);
    TRY(reader);
    TRY(writer);
    EXPECT_ERROR(write(reader, "y", 1), EBADF);
    EXPECT_ERROR(read(writer, &byte, 1), EBADF);
    TRY(symlink("f", "l"));
    EXPECT_ERROR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    EXPECT_ERROR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    return 0;
}

static int check_tmpfile(void) {
    TRY(open(".", O_TMPFILE | O_RDWR, 0600));
    return 0;
}

static int check_fallocate(void) {
    int fd = make("f", "");
    TRY(fd);
    TRY(fallocate(fd, 0, 0, 65536));
    EXPECT(look("f").st_size == 65536);
    return 0;
}

static int check_fsync(void) {
    int fd = make("f", "text");
    TRY(fd);
    TRY(fsync(fd));
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    TRY(directory);
    TRY(fsync(directory));
    return 0;
}

/* ---- times and attributes ---- */

static int check_utimens(void) {
    const struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    TRY(make("f", ""));
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    struct stat status = look("f");
    EXPECT(status.st_atim.tv_sec == 1000000000 && status.st_mtim.tv_sec == 1100000000 &&
           status.st_mtim.tv_nsec == 987654321);
    return 0;
}

static int check_utimens_symlink(void) {
    const struct timespec times[2] = {{1000000000, 0}, {1100000000, 0}};
    TRY(symlink("nowhere", "l"));
    TRY(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW));
    EXPECT(look("l").st_mtim.tv_sec == 1100000000);
    return 0;
}

static int set_attribute(const char *name, const char *value, size_t len) {
    char back[64];
    TRY(make("f", ""));
    TRY(setxattr("f", name, value, len, 0));
    EXPECT(getxattr("f", name, back, sizeof back) == (ssize_t)len && memcmp(back, value, len) == 0);
    TRY(removexattr("f", name));
    EXPECT_ERROR(getxattr("f", name, back, sizeof back), ENODATA);
    return 0;
}

static int check_xattr_user(void) {
    return set_attribute("user.dinv", "value", 5);
}

static int check_xattr_trusted(void) {
    return set_attribute("trusted.dinv", "value", 5);
}

/* What setcap(8) does. */
static int check_xattr_capability(void) {
    struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2, .data = {{1u << CAP_NET_RAW, 0}}};
    return set_attribute("security.capability", (const char *)&data, XATTR_CAPS_SZ_2);
}

const Check file_checks[] = {
    {"unlink-open", check_unlink_open},
    {"fstat-unlinked", check_fstat_unlinked},
    {"truncate-unlinked", check_truncate_unlinked},
    {"truncate", check_truncate},
    {"open-truncate", check_open_truncate},
    {"open-exclusive", check_open_exclusive},
    {"open-append", check_open_append},
    {"open-modes", check_open_modes},
    {"tmpfile", check_tmpfile},
    {"fallocate", check_fallocate},
    {"fsync", check_fsync},
    {"utimens", check_utimens},
    {"utimens-symlink", check_utimens_symlink},
    {"xattr-user", check_xattr_user},
    {"xattr-trusted", check_xattr_trusted},
    {"xattr-capability", check_xattr_capability},
    {NULL, NULL},
};

/* SPDX-License-Identifier: MIT */
/* Tars and directories into images: what went in is read back with debugfs, e2fsck is the judge. */
#include <errno.h>
#include <locale.h>
#include <sys/xattr.h>

#include "tests/unit/lib/ext4-fixture.h"

#define BIG_DIRECTORY 10000u

/* cap_net_bind_service=ep, revision 2. */
static const guint8 capability[20] = {1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

static char *image_of(const Fixture *fixture, const char *tar) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    GError *error = NULL;
    char *image = fixture_path(fixture, "image.ext4");
    g_assert_true(populate(tree, tar, NULL, &error));
    g_assert_no_error(error);
    write_small_image(tree, image);
    assert_clean(image);
    return image;
}

static void put_special_files(struct archive *archive) {
    struct archive_entry *entry = tar_entry("dev/null", S_IFCHR | 0666);
    archive_entry_set_rdevmajor(entry, 1);
    archive_entry_set_rdevminor(entry, 3);
    tar_put(archive, entry, NULL);
    entry = tar_entry("dev/big", S_IFBLK | 0660);
    archive_entry_set_rdevmajor(entry, 259);
    archive_entry_set_rdevminor(entry, 70000);
    tar_put(archive, entry, NULL);
    tar_put(archive, tar_entry("dev/fifo", S_IFIFO | 0600), NULL);
}

static void test_types(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "types.tar");
    g_autofree char *target = g_strnfill(100, 't');
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    struct archive_entry *entry = tar_entry("usr/bin/tool", S_IFREG | S_ISUID | S_ISGID | 0755);
    archive_entry_set_uid(entry, 70001);
    archive_entry_set_gid(entry, 70002);
    archive_entry_xattr_add_entry(entry, "security.capability", capability, sizeof capability);
    archive_entry_xattr_add_entry(entry, "user.note", "hello", 5);
    archive_entry_xattr_add_entry(entry, "com.example", "ignored", 7);
    tar_put(archive, entry, "#!/bin/sh\n");
    tar_put(archive, tar_entry("tmp", S_IFDIR | 01777), NULL);
    tar_symlink(archive, "fast", "usr/bin/tool");
    tar_symlink(archive, "slow", target);
    tar_hard_link(archive, "usr/bin/other", "usr/bin/tool");
    put_special_files(archive);
    tar_file(archive, "empty", "");
    tar_end(archive);

    g_autofree char *image = image_of(fixture, tar);
    assert_content(image, "/usr/bin/tool", "#!/bin/sh\n");
    assert_content(image, "/usr/bin/other", "#!/bin/sh\n");
    assert_stat(image, "/usr/bin/tool", "Mode:  06755");
    assert_stat(image, "/usr/bin/tool", "User: 70001   Group: 70002");
    assert_stat(image, "/usr/bin/tool", "Links: 2");
    assert_stat(image, "/usr/bin/tool", "mtime: 0x6553f100:1d6f3454"); /* 123456789 << 2 */
    assert_stat(image, "/usr/bin/tool", "security.capability (20) = 01 00 00 02 00 04");
    assert_stat(image, "/usr/bin/tool", "user.note (5) = \"hello\"");
    assert_stat(image, "/tmp", "Mode:  01777");
    assert_stat(image, "/fast", "Fast link dest: \"usr/bin/tool\"");
    assert_stat(image, "/slow", "Type: symlink");
    assert_content(image, "/slow", target);
    assert_stat(image, "/dev/null", "Device major/minor number: 01:03");
    assert_stat(image, "/dev/big", "Device major/minor number: 259:70000");
    assert_stat(image, "/dev/fifo", "Type: FIFO");
    assert_stat(image, "/empty", "Size: 0");
    assert_stat(image, "/dev", "Links: 2");
    assert_stat(image, "/usr", "Links: 3");
}

static void test_xattrs(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "xattrs.tar");
    g_autofree char *large = g_strnfill(2000, 'v');
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    struct archive_entry *entry = tar_entry("large", S_IFREG | 0644);
    archive_entry_xattr_add_entry(entry, "user.large", large, 2000);
    archive_entry_xattr_add_entry(entry, "trusted.small", "t", 1);
    tar_put(archive, entry, "x");
    entry = tar_entry("shared", S_IFDIR | 0770);
    archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, 7, ARCHIVE_ENTRY_ACL_USER,
                                1234, "somebody");
    archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, 7, ARCHIVE_ENTRY_ACL_MASK, -1,
                                NULL);
    for (int tag = 0; tag < 3; tag++) {
        const int tags[] = {ARCHIVE_ENTRY_ACL_USER_OBJ, ARCHIVE_ENTRY_ACL_GROUP_OBJ,
                            ARCHIVE_ENTRY_ACL_OTHER};
        archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, 5, tags[tag], -1, NULL);
    }
    tar_put(archive, entry, NULL);
    tar_end(archive);

    g_autofree char *image = image_of(fixture, tar);
    g_autofree char *value = debugfs(image, "ea_get -V large user.large");
    g_assert_true(g_str_equal(g_strchomp(value), large));
    assert_stat(image, "/large", "trusted.small (1)");
    /* debugfs shows the ids that the disk does not keep as 0. */
    g_autofree char *acl = debugfs(image, "ea_get -x shared system.posix_acl_access");
    assert_contains(acl, "02 00 00 00 01 00 07 00 00 00 00 00 02 00 07 00 d2 04 00 00");
    g_autofree char *inherited = debugfs(image, "ea_get -x shared system.posix_acl_default");
    assert_contains(inherited, "02 00 00 00 01 00 05 00 00 00 00 00 04 00 05 00 00 00 00 00 20 00");
}

static void test_too_large_xattrs(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "xattrs.tar");
    g_autofree char *image = fixture_path(fixture, "image.ext4");
    g_autofree char *large = g_strnfill(5000, 'v');
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_autoptr(GError) error = NULL;
    const DinvExt4Options options = {.read_only = TRUE};
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    struct archive_entry *entry = tar_entry("some/file", S_IFREG | 0644);
    archive_entry_xattr_add_entry(entry, "user.large", large, 5000);
    tar_put(archive, entry, "x");
    tar_end(archive);
    g_assert_true(populate(tree, tar, NULL, NULL));
    g_assert_false(write_image(tree, image, &options, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    assert_contains(error->message, "\"/some/file\"");
}

static void test_malformed_acl(G_GNUC_UNUSED Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autoptr(GPtrArray) xattrs = dinv_ext4_xattrs_new();
    const struct {
        guint8 bytes[12];
        gsize length;
    } bad[] = {
        {{0}, 0},
        {{2, 0}, 2},
        {{1, 0, 0, 0}, 4},                            /* version */
        {{2, 0, 0, 0, 1, 0, 7}, 7},                   /* half an entry */
        {{2, 0, 0, 0, 3, 0, 7, 0, 0, 0, 0, 0}, 12},   /* tag */
        {{2, 0, 0, 0, 64, 0, 7, 0, 0, 0, 0, 0}, 12},  /* tag */
        {{2, 0, 0, 0, 1, 0, 255, 0, 0, 0, 0, 0}, 12}, /* permissions */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(dinv_ext4_xattrs_set(xattrs, DINV_EXT4_ACL_ACCESS, bad[i].bytes,
                                            bad[i].length, &error));
        g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE);
    }
    g_assert_cmpuint(xattrs->len, ==, 0);
}

/* A file of 6 GiB with a few bytes in it. */
static void test_sparse(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const gint64 size = (gint64)6 << 30;
    const gint64 place = ((gint64)5 << 30) + 512;
    g_autofree char *tar = fixture_path(fixture, "sparse.tar");
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    struct archive_entry *entry = tar_entry("sparse", S_IFREG | 0644);
    archive_entry_set_size(entry, size);
    archive_entry_sparse_add_entry(entry, place, 512);
    archive_entry_sparse_add_entry(entry, size - 512, 512);
    g_assert_cmpint(archive_write_header(archive, entry), ==, ARCHIVE_OK);
    g_autofree char *piece = g_strnfill(512, 'p');
    g_autofree char *zeros = g_malloc0((gsize)1 << 20);
    for (gint64 at = 0;
         at < size;) { /* libarchive takes what the map says from the whole content */
        gint64 border = at < place ? place : at < place + 512 ? place + 512 : size - 512;
        gboolean data_here = at == place || at == size - 512;
        gint64 length = data_here ? 512 : MIN(border - at, (gint64)1 << 20);
        g_assert_cmpint(archive_write_data(archive, data_here ? piece : zeros, (gsize)length), ==,
                        length);
        at += length;
    }
    archive_entry_free(entry);
    tar_end(archive);
    struct stat status;
    g_assert_cmpint(stat(tar, &status), ==, 0);
    g_assert_cmpint(status.st_size, <, 1 << 20);

    g_autofree char *image = image_of(fixture, tar);
    assert_stat(image, "/sparse", "Size: 6442450944");
    assert_stat(image, "/sparse", "Blockcount: 16"); /* two blocks */
    g_assert_cmpint(stat(image, &status), ==, 0);
    g_assert_cmpint(status.st_size, <, 2 << 20);
    g_autofree char *blocks = debugfs(image, "bmap /sparse 1310720");
    g_assert_cmpint(g_ascii_strtoll(blocks, NULL, 10), >, 0);
}

static void test_many_extents(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *source = fixture_path(fixture, "source");
    g_autofree char *file = fixture_path(fixture, "source/file");
    g_autofree char *image = fixture_path(fixture, "image.ext4");
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    GError *error = NULL;
    g_assert_cmpint(g_mkdir(source, 0755), ==, 0);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    const guint count = 3000; /* every second block: an extent tree of two levels */
    for (guint i = 0; i < count; i++) {
        g_autofree char *text = g_strdup_printf("block %u\n", i);
        g_assert_cmpint(pwrite(fd, text, strlen(text), (off_t)i * 8192), >, 0);
    }
    close(fd);
    g_assert_true(dinv_ext4_populate_directory(tree, source, NULL, &error));
    g_assert_no_error(error);
    write_small_image(tree, image);
    assert_clean(image);
    g_autofree char *dump = fixture_path(fixture, "dump");
    g_autofree char *command = g_strdup_printf("dump /file %s", dump);
    g_free(debugfs(image, command));
    assert_same_bytes(file, dump);
}

static void test_big_directory(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "big.tar");
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    for (guint i = 0; i < BIG_DIRECTORY; i++) {
        g_autofree char *name = g_strdup_printf("big/file-with-a-longer-name-%05u", i);
        tar_file(archive, name, i % 2 == 0 ? "even" : "odd");
    }
    tar_end(archive);
    g_autofree char *image = image_of(fixture, tar);
    g_autofree char *listing = debugfs(image, "ls -p /big");
    g_auto(GStrv) lines = g_strsplit(listing, "\n", -1);
    guint names = 0;
    for (char **line = lines; *line != NULL; line++) {
        names += strstr(*line, "/file-with-a-longer-name-") != NULL ? 1 : 0;
    }
    g_assert_cmpuint(names, ==, BIG_DIRECTORY);
    assert_content(image, "/big/file-with-a-longer-name-09999", "odd");
}

static void test_filters(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD,
                           ARCHIVE_FILTER_BZIP2};
    g_autofree char *first = fixture_path(fixture, "first.ext4");
    for (gsize i = 0; i < G_N_ELEMENTS(filters); i++) {
        g_autofree char *tar = fixture_path(fixture, "some.tar");
        struct archive *archive = tar_begin(tar, filters[i]);
        tar_file(archive, "etc/hello", "hello\n");
        tar_end(archive);
        g_autofree char *image = image_of(fixture, tar);
        assert_content(image, "/etc/hello", "hello\n");
        if (i == 0) {
            g_assert_cmpint(g_rename(image, first), ==, 0);
        } else {
            assert_same_bytes(first, image);
        }
    }
}

static void test_formats(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const int formats[] = {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR,
                           ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE};
    /* 180 bytes: in two parts in ustar, with an extra entry in the others. */
    g_autofree char *directory = g_strnfill(90, 'd');
    g_autofree char *name = g_strnfill(90, 'n');
    g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *tar = fixture_path(fixture, "some.tar");
        struct archive *archive = archive_write_new();
        g_assert_cmpint(archive_write_set_format(archive, formats[i]), ==, ARCHIVE_OK);
        g_assert_cmpint(archive_write_open_filename(archive, tar), ==, ARCHIVE_OK);
        tar_file(archive, path, "found");
        tar_end(archive);
        g_autofree char *image = image_of(fixture, tar);
        assert_content(image, path, "found");
    }
}

/* This test runs in the C locale, as a launcher in a container does. */
static void test_names_in_utf8(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "names.tar");
    const char *name =
        "certs/NetLock_Arany_=Class_Gold=_F\305\221tan\303\272s\303\255tv\303\241ny.crt";
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = uselocale(utf8);
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_file(archive, name, "certificate");
    tar_symlink(archive, "link", name);
    tar_end(archive);
    (void)uselocale(before);
    freelocale(utf8);
    g_autofree char *image = image_of(fixture, tar);
    assert_content(image, name, "certificate");
    assert_stat(image, "/link", name);
}

static void assert_tar_refused(const Fixture *fixture, const char *tar, int code,
                               const char *part) {
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_autoptr(GError) error = NULL;
    g_assert_false(populate(tree, tar, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, code);
    assert_contains(error->message, tar);
    assert_contains(error->message, part);
    if (g_test_verbose()) {
        g_test_message("%s", error->message);
    }
}

static void test_truncated_tar(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "cut.tar");
    g_autofree char *content = g_strnfill(100000, 'x');
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_file(archive, "first", "1");
    tar_file(archive, "second", content);
    tar_end(archive);
    g_assert_cmpint(truncate(tar, 50000), ==, 0);
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "\"second\"");

    g_autofree char *compressed = fixture_path(fixture, "cut.tar.gz");
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (gsize i = 0; i < 100000; i++) {
        content[i] = (char)g_rand_int_range(random, 32, 127);
    }
    archive = tar_begin(compressed, ARCHIVE_FILTER_GZIP);
    tar_file(archive, "first", content);
    tar_file(archive, "second", content);
    tar_end(archive);
    g_assert_cmpint(truncate(compressed, 70000), ==, 0);
    assert_tar_refused(fixture, compressed, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "\"first\"");
}

static void test_bad_tars(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "bad.tar");
    g_assert_true(g_file_set_contents(tar, "this is not a tar archive", -1, NULL));
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "at its start");
    g_assert_true(g_file_set_contents(tar, "", 0, NULL));
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "at its start");

    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_file(archive, "good", "1");
    tar_file(archive, "../outside", "1");
    tar_end(archive);
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_ESCAPES, "\"../outside\"");

    archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_hard_link(archive, "link", "missing");
    tar_end(archive);
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "\"missing\"");

    /* A damaged header behind a good entry. */
    archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_put(archive, tar_entry("one", S_IFDIR | 0755), NULL);
    tar_put(archive, tar_entry("two", S_IFDIR | 0755), NULL);
    tar_put(archive, tar_entry("three", S_IFDIR | 0755), NULL);
    tar_end(archive);
    g_autofree char *bytes = NULL;
    gsize length = 0;
    g_assert_true(g_file_get_contents(tar, &bytes, &length, NULL));
    char *name = memmem(bytes, length, "two/", 4);
    g_assert_nonnull(name);
    name[0] = 'X';
    g_assert_true(g_file_set_contents(tar, bytes, (gssize)length, NULL));
    assert_tar_refused(fixture, tar, DINV_EXT4_IMAGE_ERROR_BAD_ARCHIVE, "after the entry \"one/\"");
}

static void test_full_image(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "large.tar");
    g_autofree char *image = fixture_path(fixture, "image.ext4");
    g_autofree char *content = g_strnfill((gsize)8 << 20, 'x');
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_autoptr(GError) error = NULL;
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    tar_file(archive, "large", content);
    for (guint i = 0; i < 300; i++) {
        g_autofree char *name = g_strdup_printf("small-%u", i);
        tar_file(archive, name, "");
    }
    tar_end(archive);
    g_assert_true(populate(tree, tar, NULL, &error));
    DinvExt4Options options = {.size_bytes = 4 << 20, .read_only = TRUE};
    g_assert_false(write_image(tree, image, &options, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL);
    assert_contains(error->message, "an image of 4 MiB: 4 MiB more are needed");
    g_clear_error(&error);
    options = (DinvExt4Options){.size_bytes = 32 << 20, .read_only = TRUE, .inodes = 32};
    g_assert_false(write_image(tree, image, &options, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_FULL);
    assert_contains(error->message, "302 files");
    g_clear_error(&error);
    options = (DinvExt4Options){.size_bytes = 32 << 20}; /* with a journal, for writing */
    g_assert_true(write_image(tree, image, &options, &error));
    g_assert_no_error(error);
    assert_clean(image);
    g_autofree char *features = debugfs(image, "features");
    assert_contains(features, "has_journal");
}

static void test_same_bytes(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *tar = fixture_path(fixture, "some.tar");
    g_autofree char *images[] = {fixture_path(fixture, "0.ext4"), fixture_path(fixture, "1.ext4"),
                                 NULL};
    struct archive *archive = tar_begin(tar, ARCHIVE_FILTER_NONE);
    for (guint i = 0; i < 200; i++) {
        g_autofree char *name = g_strdup_printf("d%u/f%u", i % 7, i * 7919 % 200);
        tar_file(archive, name, name);
    }
    tar_end(archive);
    for (guint i = 0; i < 2; i++) {
        g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
        g_assert_true(populate(tree, tar, NULL, NULL));
        write_small_image(tree, images[i]);
    }
    assert_same_bytes(images[0], images[1]);
    g_free(images[0]);
    g_free(images[1]);
    images[0] = images[1] = NULL;
}

static void make_source(const Fixture *fixture, const char *source) {
    g_autofree char *directory = g_build_filename(source, "d", NULL);
    g_autofree char *file = g_build_filename(source, "d", "file", NULL);
    g_autofree char *other = g_build_filename(source, "other", NULL);
    g_autofree char *link = g_build_filename(source, "link", NULL);
    g_autofree char *fifo = g_build_filename(source, "fifo", NULL);
    const struct timespec times[2] = {{1600000000, 0}, {1600000000, 500}};
    g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, "from a directory", -1, NULL));
    g_assert_cmpint(link != NULL ? symlink(fixture->directory, link) : -1, ==, 0);
    g_assert_cmpint(mkfifo(fifo, 0640), ==, 0);
    g_assert_cmpint(g_chmod(fifo, 0640), ==, 0);
    g_assert_cmpint(g_chmod(file, 04750), ==, 0);
    g_assert_cmpint(linkat(AT_FDCWD, file, AT_FDCWD, other, 0), ==, 0);
    g_assert_cmpint(utimensat(AT_FDCWD, file, times, 0), ==, 0);
}

static void test_directory(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *source = fixture_path(fixture, "source");
    g_autofree char *file = fixture_path(fixture, "source/d/file");
    g_autofree char *image = fixture_path(fixture, "image.ext4");
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    const DinvExt4PopulateOptions options = {.force_root_owner = TRUE};
    GError *error = NULL;
    make_source(fixture, source);
    gboolean have_xattrs = setxattr(file, "user.note", "kept", 4, 0) == 0;
    g_assert_true(have_xattrs || errno == ENOTSUP);
    g_assert_true(dinv_ext4_populate_directory(tree, source, &options, &error));
    g_assert_no_error(error);
    g_assert_true(dinv_ext4_tree_set_owner(tree, "fifo", 12, 34, 0604, &error));
    write_small_image(tree, image);
    assert_clean(image);
    assert_content(image, "/d/file", "from a directory");
    assert_content(image, "/other", "from a directory");
    assert_stat(image, "/other", "Links: 2");
    assert_stat(image, "/d/file", "Mode:  04750");
    assert_stat(image, "/d/file", "User:     0   Group:     0");
    assert_stat(image, "/d/file", "mtime: 0x5f5e1000:000007d0");
    if (have_xattrs) {
        assert_stat(image, "/d/file", "user.note (4) = \"kept\"");
    }
    assert_stat(image, "/fifo", "Type: FIFO");
    assert_stat(image, "/fifo", "Mode:  0604");
    assert_stat(image, "/fifo", "User:    12   Group:    34");
    assert_stat(image, "/link", "Type: symlink"); /* not followed */
}

static void test_bad_directories(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *source = fixture_path(fixture, "source");
    g_autofree char *socket_path = fixture_path(fixture, "source/socket");
    g_autoptr(GError) error = NULL;
    g_autoptr(DinvExt4Tree) tree = new_tree(fixture);
    g_assert_false(dinv_ext4_populate_directory(tree, source, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    assert_contains(error->message, source);
    g_clear_error(&error);
    g_assert_cmpint(g_mkdir(source, 0755), ==, 0);
    g_assert_cmpint(mknod(socket_path, S_IFSOCK | 0600, 0), ==, 0);
    g_assert_false(dinv_ext4_populate_directory(tree, source, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_UNSUPPORTED);
    assert_contains(error->message, "socket");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    TEST("/ext4/populate/types", test_types);
    TEST("/ext4/populate/xattrs", test_xattrs);
    TEST("/ext4/populate/too-large-xattrs", test_too_large_xattrs);
    TEST("/ext4/populate/malformed-acl", test_malformed_acl);
    TEST("/ext4/populate/sparse", test_sparse);
    TEST("/ext4/populate/many-extents", test_many_extents);
    TEST("/ext4/populate/big-directory", test_big_directory);
    TEST("/ext4/populate/filters", test_filters);
    TEST("/ext4/populate/formats", test_formats);
    TEST("/ext4/populate/names-in-utf8", test_names_in_utf8);
    TEST("/ext4/populate/truncated-tar", test_truncated_tar);
    TEST("/ext4/populate/bad-tars", test_bad_tars);
    TEST("/ext4/populate/full-image", test_full_image);
    TEST("/ext4/populate/same-bytes", test_same_bytes);
    TEST("/ext4/populate/directory", test_directory);
    TEST("/ext4/populate/bad-directories", test_bad_directories);
    return g_test_run();
}

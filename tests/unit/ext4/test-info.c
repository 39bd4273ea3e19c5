/* SPDX-License-Identifier: MIT */
/* What an image says of itself, sound, cut off and damaged. */
#include <ext2fs/ext2fs.h>

#include "ext4/info.h"
#include "tests/unit/lib/ext4-fixture.h"

#define MIB ((guint64)1 << 20)

static char *make_image(const Fixture *fixture, const char *label) {
    char *path = fixture_path(fixture, "image.ext4");
    const DinvExt4Options options = {.size_bytes = 16 * MIB, .label = label};
    GError *error = NULL;
    (void)g_unlink(path);
    g_assert_true(dinv_ext4_create(path, &options, &error));
    g_assert_no_error(error);
    return path;
}

/* Changes the superblock; with `seal` its checksum is right afterwards. */
static void patch(const char *path, gsize offset, guint8 value, gboolean seal) {
    guint8 super[1024];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pread(fd, super, sizeof super, 1024), ==, sizeof super);
    super[offset] = value;
    if (seal) {
        guint32 checksum = GUINT32_TO_LE(ext2fs_crc32c_le(~0U, super, 1020));
        memcpy(super + 1020, &checksum, sizeof checksum);
    }
    g_assert_cmpint(pwrite(fd, super, sizeof super, 1024), ==, sizeof super);
    close(fd);
}

static void test_fields(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = make_image(fixture, "dinv-root-7");
    DinvExt4ImageInfo info;
    GError *error = NULL;
    g_assert_true(dinv_ext4_image_read_info(path, &info, &error));
    g_assert_no_error(error);
    g_assert_cmpint(info.kind, ==, DINV_EXT4_IMAGE_ROOTFS);
    g_assert_cmpuint(info.rootfs_version, ==, 7);
    g_assert_cmpstr(info.label, ==, "dinv-root-7");
    g_assert_cmpuint(strlen(info.uuid), ==, 36);
    g_assert_cmpuint(info.filesystem_bytes, ==, 16 * MIB);
    g_assert_cmpuint(info.file_bytes, ==, 16 * MIB);
    g_assert_cmpuint(info.free_bytes, >, 8 * MIB);
    g_assert_cmpuint(info.free_bytes, <, 16 * MIB);
    g_assert_true(info.clean);
    g_assert_true(info.has_journal);
    g_assert_false(info.truncated);
    g_assert_false(info.needs_recovery);
}

static void test_kinds(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const struct {
        const char *label;
        DinvExt4ImageKind kind;
    } cases[] = {{"dinv-data", DINV_EXT4_IMAGE_DATA},
                 {"dinv-root-1", DINV_EXT4_IMAGE_ROOTFS},
                 {"dinv-root-", DINV_EXT4_IMAGE_OTHER},
                 {"dinv-root-x", DINV_EXT4_IMAGE_OTHER},
                 {"dinv-root--1", DINV_EXT4_IMAGE_OTHER},
                 {"home", DINV_EXT4_IMAGE_OTHER},
                 {NULL, DINV_EXT4_IMAGE_OTHER}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = make_image(fixture, cases[i].label);
        DinvExt4ImageInfo info;
        g_assert_true(dinv_ext4_image_read_info(path, &info, NULL));
        g_assert_cmpint(info.kind, ==, cases[i].kind);
    }
}

static void test_label_is_printable(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = make_image(fixture, "a\033[2Jb");
    DinvExt4ImageInfo info;
    g_assert_true(dinv_ext4_image_read_info(path, &info, NULL));
    g_assert_cmpstr(info.label, ==, "a?[2Jb");
}

static void test_truncated(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = make_image(fixture, "dinv-root-1");
    g_autoptr(GError) error = NULL;
    DinvExt4ImageInfo info;
    g_assert_cmpint(truncate(path, (off_t)(10 * MIB)), ==, 0);
    g_assert_true(dinv_ext4_image_read_info(path, &info, NULL));
    g_assert_true(info.truncated);
    info.filesystem_bytes = 42;
    g_assert_false(dinv_ext4_image_check_rootfs(path, &info, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_TRUNCATED);
    g_autofree char *expected = g_strdup_printf(
        "\"%s\" is truncated: 10 MiB of 16 MiB; build it again with \"dinv image build\"", path);
    g_assert_cmpstr(error->message, ==, expected);
    g_assert_cmpuint(info.filesystem_bytes, ==, 42); /* outputs untouched */
}

static void test_wrong_kind(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = make_image(fixture, "dinv-root-2");
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_ext4_image_check_rootfs(path, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION);
    assert_contains(error->message, "image format 2, this dinv needs 1");
    g_clear_error(&error);
    g_assert_false(dinv_ext4_image_check_disk(path, DINV_EXT4_IMAGE_DATA, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION);
    g_clear_error(&error);
    g_autofree char *other = make_image(fixture, "home");
    g_assert_false(dinv_ext4_image_check_rootfs(other, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION);
    assert_contains(error->message, "home");
    g_clear_error(&error);
    g_assert_false(dinv_ext4_image_check_disk(other, DINV_EXT4_IMAGE_DATA, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_VERSION);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = make_image(fixture, "dinv-data");
    DinvExt4ImageInfo info;
    patch(path, offsetof(struct ext2_super_block, s_state), 0x03, TRUE);
    g_assert_true(dinv_ext4_image_read_info(path, &info, NULL));
    g_assert_true(info.has_errors);
    g_assert_false(info.clean);
    patch(path, offsetof(struct ext2_super_block, s_state), 0x01, TRUE);
    patch(path, offsetof(struct ext2_super_block, s_feature_incompat),
          EXT3_FEATURE_INCOMPAT_RECOVER | EXT2_FEATURE_INCOMPAT_FILETYPE |
              EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT,
          TRUE);
    g_assert_true(dinv_ext4_image_check_disk(path, DINV_EXT4_IMAGE_DATA, &info,
                                             NULL)); /* as after a crash: usable */
    g_assert_true(info.needs_recovery);
    g_assert_false(info.clean);
}

static void test_damaged(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const struct {
        gsize offset;
        guint8 value;
        gboolean seal;
        const char *message;
    } cases[] = {
        {offsetof(struct ext2_super_block, s_magic), 0, TRUE, "no ext4 superblock"},
        {offsetof(struct ext2_super_block, s_mnt_count), 9, FALSE, "checksum"},
        {offsetof(struct ext2_super_block, s_log_block_size), 77, TRUE, "makes no sense"},
        {offsetof(struct ext2_super_block, s_rev_level), 0, TRUE, "makes no sense"},
        {offsetof(struct ext2_super_block, s_blocks_count_hi) + 3, 0xff, TRUE, "makes no sense"},
        {offsetof(struct ext2_super_block, s_free_blocks_hi), 1, TRUE, "makes no sense"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = make_image(fixture, "dinv-root-1");
        g_autoptr(GError) error = NULL;
        DinvExt4ImageInfo info;
        patch(path, cases[i].offset, cases[i].value, cases[i].seal);
        g_assert_false(dinv_ext4_image_read_info(path, &info, &error));
        g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_NOT_EXT4);
        assert_contains(error->message, cases[i].message);
    }
}

static void assert_not_an_image(const char *path, int code, const char *part) {
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_ext4_image_check_rootfs(path, NULL, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, code);
    assert_contains(error->message, path);
    assert_contains(error->message, part);
}

static void test_other_files(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "file");
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_IO, "No such file");
    assert_not_an_image(fixture->directory, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "directory");
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "it is empty");
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "dinv image build");
    g_assert_true(g_file_set_contents(path, "short", -1, NULL));
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "too short");
    g_assert_cmpint(truncate(path, 1 << 20), ==, 0);
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "no ext4 superblock");
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_not_an_image(path, DINV_EXT4_IMAGE_ERROR_NOT_EXT4, "no file"); /* and does not block */
}

static void test_size_text(void) {
    const struct {
        guint64 bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},           {1023, "1023 bytes"},   {1024, "1 KiB"},
                 {1536, "1.5 KiB"},        {100 * MIB, "100 MiB"}, {(guint64)64 << 30, "64 GiB"},
                 {G_MAXUINT64, "15.9 EiB"}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = dinv_ext4_image_size_text(cases[i].bytes);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    TEST("/ext4/info/fields", test_fields);
    TEST("/ext4/info/kinds", test_kinds);
    TEST("/ext4/info/label-is-printable", test_label_is_printable);
    TEST("/ext4/info/truncated", test_truncated);
    TEST("/ext4/info/wrong-kind", test_wrong_kind);
    TEST("/ext4/info/state", test_state);
    TEST("/ext4/info/damaged", test_damaged);
    TEST("/ext4/info/other-files", test_other_files);
    g_test_add_func("/ext4/info/size-text", test_size_text);
    return g_test_run();
}

/* SPDX-License-Identifier: MIT */
/* Empty file systems and files that appear whole; e2fsck and dumpe2fs are the oracle. */
#include <signal.h>
#include <sys/resource.h>

#include "ext4/info.h"
#include "ext4/output.h"
#include "tests/unit/lib/ext4-fixture.h"

#define MIB ((guint64)1 << 20)
#define GIB ((guint64)1 << 30)

static void test_data_disk(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    GError *error = NULL;
    struct stat status;
    g_assert_true(dinv_ext4_create_data_disk(path, 64 * GIB, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, (off_t)(64 * GIB));
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    g_test_message("64 GiB: %ld KiB on the disk", (long)status.st_blocks / 2);
    g_assert_cmpint(status.st_blocks * 512, <, (off_t)(4 * MIB));
    assert_clean(path);
    DinvExt4ImageInfo info;
    g_assert_true(dinv_ext4_image_check_disk(path, DINV_EXT4_IMAGE_DATA, &info, &error));
    g_assert_cmpuint(info.filesystem_bytes, ==, 64 * GIB);
    g_assert_true(info.clean);
    g_assert_true(info.has_journal);
    g_assert_cmpuint(fixture_count(fixture), ==, 1);
}

static void test_features(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    GError *error = NULL;
    int result = 0;
    g_assert_true(dinv_ext4_create_data_disk(path, 2 * GIB, &error));
    g_autofree char *output = run_tool("/usr/sbin/dumpe2fs", path, NULL, NULL, &result);
    static const char *const features[] = {
        "has_journal", "resize_inode", "dir_index",   "filetype",      "extent",   "64bit",
        "flex_bg",     "large_file",   "extra_isize", "metadata_csum", "ext_attr", "huge_file"};
    for (gsize i = 0; i < G_N_ELEMENTS(features); i++) {
        assert_contains(output, features[i]);
    }
    /* No group's inode table is left for the kernel to zero. */
    guint groups = 0;
    guint zeroed = 0;
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        groups += strstr(*line, ": (Blocks ") != NULL ? 1 : 0;
        zeroed += strstr(*line, "ITABLE_ZEROED") != NULL ? 1 : 0;
    }
    g_assert_cmpuint(zeroed, ==, groups);
    g_assert_cmpuint(groups, >=, 16);
}

static void test_sizes(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    /* Around the borders of groups (128 MiB), where the last group may be too small for its tables.
     */
    const guint64 sizes[] = {MIB,           2 * MIB,        9 * MIB + 5, 64 * MIB,
                             128 * MIB,     129 * MIB,      136 * MIB,   384 * MIB + 4096,
                             2 * GIB + MIB, 9 * GIB + 4096, 1024 * GIB};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *path = fixture_path(fixture, "disk.img");
        GError *error = NULL;
        g_test_message("%" G_GUINT64_FORMAT " bytes", sizes[i]);
        g_assert_true(dinv_ext4_create_data_disk(path, sizes[i], &error));
        g_assert_no_error(error);
        assert_clean(path);
        DinvExt4ImageInfo info;
        g_assert_true(dinv_ext4_image_check_disk(path, DINV_EXT4_IMAGE_DATA, &info, &error));
        g_assert_cmpuint(info.file_bytes, ==, sizes[i] - sizes[i] % 4096);
        g_assert_cmpuint(info.allocated_bytes, <, 16 * MIB);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
}

static void test_existing_file(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    g_autofree char *link = fixture_path(fixture, "link.img");
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents(path, "precious", -1, NULL));
    g_assert_false(dinv_ext4_create_data_disk(path, GIB, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_EXISTS);
    assert_contains(error->message, path);
    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "precious");
    /* A symbolic link to nowhere is a name that is taken, too. */
    g_clear_error(&error);
    g_assert_cmpint(symlink("nowhere", link), ==, 0);
    g_assert_false(dinv_ext4_create_data_disk(link, GIB, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_EXISTS);
    g_assert_cmpuint(fixture_count(fixture), ==, 2);
}

static void test_no_space(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    g_autoptr(GError) error = NULL;
    struct rlimit before;
    (void)signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    const struct rlimit limit = {.rlim_cur = 8 * MIB, .rlim_max = before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    gboolean made = dinv_ext4_create_data_disk(path, GIB, &error);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    g_assert_false(made);
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    assert_contains(error->message, path);
    assert_contains(error->message, "1 GiB");
    g_assert_cmpuint(fixture_count(fixture), ==, 0);
}

static void test_bad_arguments(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    g_autofree char *nowhere = fixture_path(fixture, "missing/data.img");
    const DinvExt4Options bad[] = {
        {.size_bytes = 0},
        {.size_bytes = MIB - 1},
        {.size_bytes = G_MAXUINT64},
        {.size_bytes = GIB, .label = "seventeen letters"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(dinv_ext4_create(path, &bad[i], &error));
        g_assert_nonnull(error);
        assert_contains(error->message, path);
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(dinv_ext4_create_data_disk(nowhere, GIB, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    assert_contains(error->message, "missing");
    g_assert_cmpuint(fixture_count(fixture), ==, 0);
}

static void test_reproducible(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    const guint8 identity[16] = {1, 2, 3, 4, 5, 6, 0x40, 8, 0x80, 10, 11, 12, 13, 14, 15, 16};
    const DinvExt4Options options = {.size_bytes = 64 * MIB,
                                     .uuid = identity,
                                     .hash_seed = identity,
                                     .timestamp = 1700000000,
                                     .label = "same"};
    g_autofree char *first = fixture_path(fixture, "first.img");
    g_autofree char *second = fixture_path(fixture, "second.img");
    GError *error = NULL;
    g_assert_true(dinv_ext4_create(first, &options, &error));
    g_assert_true(dinv_ext4_create(second, &options, &error));
    assert_same_bytes(first, second);
    DinvExt4ImageInfo info;
    g_assert_true(dinv_ext4_image_read_info(first, &info, &error));
    g_assert_cmpstr(info.uuid, ==, "01020304-0506-4008-800a-0b0c0d0e0f10");
    g_assert_cmpint(info.made, ==, 1700000000);
}

static void test_extend(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    g_autofree char *path = fixture_path(fixture, "data.img");
    GError *error = NULL;
    struct stat status;
    g_assert_true(dinv_ext4_create_data_disk(path, 64 * MIB, &error));
    g_assert_true(dinv_ext4_extend_file(path, 128 * MIB, &error));
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, (off_t)(128 * MIB));
    g_assert_true(dinv_ext4_extend_file(path, 32 * MIB, &error)); /* never shrunk */
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, (off_t)(128 * MIB));
    g_assert_cmpint(status.st_blocks * 512, <, (off_t)(4 * MIB));
    assert_clean(path);
    g_autofree char *missing = fixture_path(fixture, "missing.img");
    g_assert_false(dinv_ext4_extend_file(missing, MIB, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    g_clear_error(&error);
    g_assert_false(dinv_ext4_extend_file(fixture->directory, MIB, &error));
    g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_IO);
    g_clear_error(&error);
    g_assert_cmpuint(fixture_count(fixture), ==, 1);
}

static void check_output(const Fixture *fixture,
                         DinvExt4Output *(*open_output)(const char *, mode_t, GError **)) {
    g_autofree char *path = fixture_path(fixture, "file");
    const struct {
        const char *content;
        gboolean replace;
        const char *afterwards;
    } steps[] = {{"first", FALSE, "first"}, {"second", FALSE, "first"}, {"third", TRUE, "third"}};
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autofree char *content = NULL;
        g_autoptr(GError) error = NULL;
        DinvExt4Output *output = open_output(path, 0640, &error);
        g_assert_no_error(error);
        gsize length = strlen(steps[i].content);
        int fd = dinv_ext4_output_get_fd(output);
        g_assert_cmpint(write(fd, steps[i].content, length), ==, (ssize_t)length);
        gboolean published = dinv_ext4_output_publish(output, steps[i].replace, &error);
        dinv_ext4_output_free(output);
        g_assert_cmpint(published, ==, g_str_equal(steps[i].content, steps[i].afterwards));
        if (!published) {
            g_assert_error(error, DINV_EXT4_IMAGE_ERROR, DINV_EXT4_IMAGE_ERROR_EXISTS);
        }
        g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
        g_assert_cmpstr(content, ==, steps[i].afterwards);
        g_assert_cmpuint(fixture_count(fixture), ==, 1);
    }
    g_autoptr(DinvExt4Output) dropped = open_output(path, 0640, NULL);
    g_assert_nonnull(dropped);
    g_clear_pointer(&dropped, dinv_ext4_output_free);
    g_assert_cmpuint(fixture_count(fixture), ==, 1);
}

static void test_output(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    check_output(fixture, dinv_ext4_output_new);
}

static void test_named_output(Fixture *fixture, G_GNUC_UNUSED gconstpointer data) {
    check_output(fixture, dinv_ext4_output_new_named);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    TEST("/ext4/create/data-disk", test_data_disk);
    TEST("/ext4/create/features", test_features);
    TEST("/ext4/create/sizes", test_sizes);
    TEST("/ext4/create/existing-file", test_existing_file);
    TEST("/ext4/create/no-space", test_no_space);
    TEST("/ext4/create/bad-arguments", test_bad_arguments);
    TEST("/ext4/create/reproducible", test_reproducible);
    TEST("/ext4/create/extend", test_extend);
    TEST("/ext4/output/nameless", test_output);
    TEST("/ext4/output/named", test_named_output);
    return g_test_run();
}
